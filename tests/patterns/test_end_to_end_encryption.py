"""Box: opens for the right peer, in the right room, once; and never says what was in it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.errors import MessageError
from rtlab.patterns import end_to_end_encryption
from rtlab.patterns.end_to_end_encryption import MAX_STREAMS, PAD_BYTES, Box, Identity

ADA, BOB, EVE = Identity(), Identity(), Identity()


def pair() -> tuple[Box, Box]:
    return Box(ADA, BOB.public), Box(BOB, ADA.public)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


@given(json, st.text(max_size=20))
def test_what_is_sealed_opens_at_the_other_end(payload: Any, room_id: str) -> None:
    ada, bob = pair()
    sealed = ada.seal(payload, room_id=room_id)
    assert bob.open(sealed, room_id=room_id) == payload


def test_a_change_of_any_kind_is_noticed() -> None:
    ada, bob = pair()
    sealed = ada.seal({"pay": 10}, room_id="bank")
    box = sealed["box"]
    wrong: list[Any] = [
        {**sealed, "n": 1},
        {**sealed, "salt": ada.seal(0)["salt"][::-1]},
        {**sealed, "box": ("B" if box[0] == "A" else "A") + box[1:]},
        {**sealed, "box": box[:-8]},
        {**sealed, "box": "?"},
        {**sealed, "n": True},
        {**sealed, "n": -1},
        {**sealed, "n": 1 << 70},
        {},
        None,
        "text",
    ]
    for changed in wrong:
        with pytest.raises(MessageError) as refused:
            bob.open(changed, room_id="bank")
        assert refused.value.code == "sealed"
    with pytest.raises(MessageError):
        bob.open(sealed, room_id="lobby")
    with pytest.raises(MessageError):
        Box(EVE, ADA.public).open(sealed, room_id="bank")
    with pytest.raises(MessageError):
        ada.open(sealed, room_id="bank")  # sent back to who sealed it
    assert bob.open(sealed, room_id="bank") == {"pay": 10}


def test_a_replay_is_refused_and_another_order_is_not() -> None:
    ada, bob = pair()
    first, second = ada.seal(1), ada.seal(2)
    assert [bob.open(second), bob.open(first)] == [2, 1]
    for again in (first, second, copy.deepcopy(first)):
        with pytest.raises(MessageError, match="a replay"):
            bob.open(again)


def test_no_nonce_is_used_twice_under_one_key() -> None:
    boxes = [Box(ADA, BOB.public) for _ in range(20)]
    used = {(sealed["salt"], sealed["n"]) for box in boxes for sealed in (box.seal(0), box.seal(0))}
    assert len(used) == 40
    assert len({box.seal(0)["box"] for box in boxes}) == 20


def test_streams_are_bounded() -> None:
    bob = Box(BOB, ADA.public)
    for _ in range(3 * MAX_STREAMS):
        bob.open(Box(ADA, BOB.public).seal(1))
    assert len(bob._streams) == MAX_STREAMS


def test_what_was_sealed_by_a_forgotten_box_is_no_more_opened() -> None:
    ada, bob_keys = Identity(), Identity()
    bob = Box(bob_keys, ada.public)
    first = Box(ada, bob_keys.public)
    old, unheard = first.seal("once"), first.seal("never opened")
    assert bob.open(old) == "once"
    for number in range(MAX_STREAMS):
        assert bob.open(Box(ada, bob_keys.public).seal(number)) == number
    remembered = set(bob._streams)
    for one in (old, unheard):
        with pytest.raises(MessageError, match="may be a replay"):
            bob.open(one)
    assert set(bob._streams) == remembered  # and it pushes nothing out


def test_the_boxes_of_a_peer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_to_end_encryption, "MAX_STARTS", MAX_STREAMS + 2)
    ada, bob_keys = Identity(), Identity()
    bob = Box(bob_keys, ada.public)
    boxes = [Box(ada, bob_keys.public) for _ in range(MAX_STREAMS + 3)]
    for box in boxes[:-1]:
        assert bob.open(box.seal("hi")) == "hi"
    with pytest.raises(MessageError, match="make new keys"):
        bob.open(boxes[-1].seal("hi"))
    assert bob.open(boxes[-2].seal("still")) == "still"


def test_lengths_are_blurred_and_nothing_shows_what_is_inside() -> None:
    ada, bob = pair()
    sizes = {len(ada.seal("x" * n)["box"]) for n in range(PAD_BYTES - 3)}
    assert len(sizes) == 1
    with pytest.raises(MessageError) as refused:
        ada.seal({"s3cret": float("nan")})
    assert "s3cret" not in f"{refused.value} {ada!r} {ADA!r}"
    assert repr(Box.between(BOB, __import__("base64").b64encode(ADA.public).decode())) == repr(bob)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="expected a private key of 32 bytes"):
        Identity(bytes(length))
    with pytest.raises(ValueError, match="expected a public key of 32 bytes"):
        Box(ADA, bytes(length))


def test_a_trap_in_place_of_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="low order"):
        Box(ADA, bytes(32))


def test_an_early_message_after_a_very_late_one_is_refused_as_any_other() -> None:
    ada, bob = pair()
    first = ada.seal("first")
    ada._count = 1 << 60
    assert bob.open(ada.seal("late")) == "late"
    with pytest.raises(MessageError, match="too old to tell"):
        bob.open(first)
