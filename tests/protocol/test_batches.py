"""Many messages in one frame."""

from __future__ import annotations

from typing import Any

import pytest

from rtlab.errors import MessageError
from rtlab.protocol.batches import messages_of
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK, Codec
from rtlab.protocol.limits import MAX_DEPTH
from rtlab.protocol.message_format import Message


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=repr)
def test_a_message_may_be_as_deep_in_a_batch_as_alone(codec: Codec) -> None:
    deepest = {"type": "x", "payload": nested(MAX_DEPTH)}
    batch = codec.decode(codec.encode(Message("batch", [deepest])))
    assert messages_of(batch) == [Message("x", nested(MAX_DEPTH))]
    with pytest.raises(MessageError, match="nested too deeply"):
        codec.encode(Message("batch", [{"type": "x", "payload": nested(MAX_DEPTH + 1)}]))


def test_what_is_no_message_leaves_the_others_alone() -> None:
    first, second, third = messages_of(Message("batch", [{"type": "a"}, {"type": 5}, {"type": "c"}]))
    assert (first, third) == (Message("a"), Message("c"))
    assert isinstance(second, MessageError)
    assert second.code == "wrong_type"


@pytest.mark.parametrize("payload", [None, {}, "x", 5])
def test_a_batch_without_a_list_is_one_error(payload: Any) -> None:
    (error,) = messages_of(Message("batch", payload))
    assert isinstance(error, MessageError)
