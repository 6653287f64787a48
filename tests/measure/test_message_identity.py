from __future__ import annotations

from rtlab.measure.message_identity import Stamp


def test_it_travels_as_a_list():
    assert Stamp(*list(Stamp("ada", 3))) == Stamp("ada", 3)
