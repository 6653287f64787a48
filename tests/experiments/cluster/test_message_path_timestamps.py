from __future__ import annotations

from itertools import permutations

import pytest

from rtlab.experiments.cluster.message_path_timestamps import _Seen
from rtlab.protocol.message_format import Message
from rtlab.server.brokers.carrying.carrier_interface import Carried
from rtlab.server.brokers.cluster.node_message_encoding import Forward, Reply, encode
from rtlab.server.brokers.cluster.send_to_nodes import address_of


def carried(node: str, said: Forward | Reply) -> Carried:
    return Carried(address_of(node), encode(said), None)


FORWARD = carried("node-3", Forward("node-1", 7, "lobby", Message(type="way", payload=40)))
REPLY = carried("node-1", Reply(7, "epoch", 1))
REPLY_TO_ANOTHER = carried("node-2", Reply(7, "epoch", 2))


@pytest.mark.parametrize("order", [*permutations([FORWARD, REPLY, REPLY_TO_ANOTHER])])
def test_a_reply_is_matched_whatever_order_the_subjects_are_heard_in(order: tuple[Carried, ...]):
    seen = _Seen()
    for one in order:
        seen.hear(one)
    assert list(seen.forward) == list(seen.reply) == [40]


def test_a_reply_to_another_node_is_no_reply_to_this_one():
    seen = _Seen()
    for one in (FORWARD, REPLY_TO_ANOTHER):
        seen.hear(one)
    assert seen.reply == {}
