"""What waits for a connection that takes no more: which messages are about the same thing."""

from __future__ import annotations

import time

from rtlab.policies.drop_or_conflate_on_overflow import parse_overflow
from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions, OverflowRules, SlowConsumerQueue


def test_what_a_message_is_about_has_a_type_and_what_says_nothing_is_about_nothing() -> None:
    rules = OverflowRules(OverflowOptions(), time.monotonic)
    held = SlowConsumerQueue(rules, parse_overflow("conflate:about"))
    abouts = [1, True, "1", 0, False, None, [1], {"a": 1}, 1, True]
    for n, about in enumerate(abouts, 1):
        held.put(EncodedFrame(Message("tick", {"n": n, "about": about}, room_id="r", offset=n, epoch="e")))
    kept: list[int] = []
    while (frame := held.take()) is not None:
        if frame.message.type == "tick":
            kept.append(frame.message.payload["n"])
    # The first two are worthless: a later one is about the same.
    assert kept == [3, 4, 5, 6, 7, 8, 9, 10]
