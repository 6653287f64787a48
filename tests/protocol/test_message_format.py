"""What a message may be: names that are strings, a payload in the JSON data model."""

from __future__ import annotations

import pytest

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import CODECS, JSON
from rtlab.protocol.limits import MAX_DEPTH
from rtlab.protocol.message_format import CheckedItems, Message, check_payload

both = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


@both
@pytest.mark.parametrize(
    "fields", [{"type": None}, {"type": {"type": "chat"}}, {"id": 5}, {"room_id": ["r"]}], ids=repr
)
def test_what_the_other_end_could_not_read_is_never_sent(codec, fields):
    with pytest.raises(MessageError, match="are strings, got") as caught:
        codec.encode(Message(**{"type": "x", **fields}))
    assert caught.value.code == "wrong_type"


def test_depth_is_counted_exactly():
    deep: object = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    check_payload(deep)
    assert JSON.decode(JSON.encode(Message("x", deep))).payload == deep
    with pytest.raises(MessageError):
        check_payload([deep])


def test_a_token_in_a_message_is_not_shown() -> None:
    shown = repr(Message("chat", 1, token="s3cret"))
    assert "s3cret" not in shown
    assert "token='***'" in shown
    assert "s3cret" not in repr(Message("auth", {"token": "s3cret"}, "a"))
    assert repr(Message("chat", 1)).startswith("Message(type='chat', payload=1, ")


def test_what_its_maker_has_checked_is_not_checked_again() -> None:
    check_payload({"results": CheckedItems([object()])})
    with pytest.raises(MessageError):
        check_payload({"results": [object()]})
