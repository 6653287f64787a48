"""Where a client stands: repeats, gaps and resume positions."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rtlab.client.delivery.repeats_and_gaps import MessageNumbers, Position
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume


def said(offset, epoch="e", room="r"):
    return Message("chat", room_id=room, epoch=epoch, offset=offset)


def test_direct_messages_are_always_new():
    assert Position().accept(Message("chat")) == "new"
    assert Position().accept(Message("chat", room_id="r")) == "new"


def test_an_unknown_room_starts_where_it_is_first_seen():
    position = Position()
    assert position.accept(said(40)) == "new"
    assert position.accept(said(41)) == "new"


def test_another_epoch_is_a_gap_whatever_its_offset():
    position = Position()
    position.enter("r", "e", 4)
    assert position.accept(said(5, epoch="f")) == "gap"
    assert position.accept(said(6, epoch="f")) == "new"


def test_a_session_resumes_after_what_was_handled():
    position = Position("me")
    position.begin("me", "s", 10)
    position.received = 13
    position.settle(MessageNumbers("s", 11, "token"))
    assert position.resume() == Resume("me", "s", 11, "token")
    position.begin("me", "other", 0)
    assert position.resume() == Resume("me", "other", 0, None)


def test_handling_never_moves_the_position_backwards_or_across_sessions():
    position = Position("me")
    position.begin("me", "s", 0)
    position.received = 9
    for receipt in (
        MessageNumbers("s", 6, "six"),
        MessageNumbers("s", 5, "five"),
        MessageNumbers("old", 9, "nine"),
    ):
        position.settle(receipt)
    assert position.resume() == Resume("me", "s", 6, "six")


def test_what_the_server_may_have_forgotten_is_not_asked_for_again():
    position = Position("me")
    position.begin("me", "s", 10)
    for _ in range(2):
        position.settle(position.count("token"))
    assert position.count("token") == MessageNumbers("s", 13, "token")
    position.confirming = True
    position.count(None)
    assert position.resume() == Resume("me", "s", 14, None)
    position.go_on(14)
    assert position.count(None) == MessageNumbers("s", 15, None)
    position.confirming = False
    position.go_on(15)  # asks for 15 again: nothing was handled, 15 was confirmed
    assert position.count(None) == MessageNumbers("s", 16, None)


def test_a_replay_is_numbered_once_and_another_loss_during_it_loses_nothing():
    position = Position("me")
    position.begin("me", "s", 0)
    marks = [position.count(None) for _ in range(3)]
    position.settle(marks[0])
    position.go_on(1)
    assert position.count(None) is None  # the second message, and then the path is lost again
    position.go_on(1)
    assert [position.count(None) for _ in range(3)] == [None, None, MessageNumbers("s", 4, None)]


@given(st.lists(st.integers(1, 30)))
def test_every_offset_is_new_or_told_exactly_once(offsets):
    """Whatever arrives: what is passed on only grows, and each hole in it was told."""
    position = Position()
    position.enter("r", "e", 0)
    passed, told = [0], set()
    for offset in offsets:
        verdict = position.accept(said(offset))
        if verdict == "repeat":
            assert offset <= passed[-1]
            continue
        if verdict == "gap":
            told.add(offset)
        passed.append(offset)
    assert passed == sorted(set(passed))
    holes = {after for before, after in itertools.pairwise(passed) if after != before + 1}
    assert holes == told


def test_what_a_policy_dropped_leaves_no_gap():
    position = Position()
    position.enter("r", "e", 4)
    assert position.skip("r", "e", 5, 9) == "new"
    assert position.accept(Message("chat", room_id="r", epoch="e", offset=10)) == "new"
    assert position.skip("r", "e", 8, 10) == "repeat"
    assert position.skip("r", "other", 11, 12) == "repeat"
    assert position.skip("r", "e", 12, 13) == "gap"
    assert position.accept(Message("chat", room_id="r", epoch="e", offset=14)) == "new"
    assert position.skip("elsewhere", "e", 1, 2) == "new"
    assert position.skip("r", "e", "x", None) == "new"
