from __future__ import annotations

from rtlab.measure.ledger_message_stamp import MessageIdentity


def test_it_travels_as_a_list():
    assert MessageIdentity(*list(MessageIdentity("ada", 3))) == MessageIdentity("ada", 3)
