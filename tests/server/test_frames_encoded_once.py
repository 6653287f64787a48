from __future__ import annotations

import pytest

from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK, Codec
from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import EncodedFrame, error_message


def test_a_frame_is_encoded_once_per_codec() -> None:
    frame = EncodedFrame(Message("chat", {"text": "hi"}))
    assert frame.websocket(JSON) is frame.websocket(JSON)
    assert frame.websocket(JSON) != frame.websocket(MSGPACK)
    assert frame.event() is frame.event()


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
@pytest.mark.parametrize("size", [0, 100, 200, 70_000])
def test_an_event_takes_its_bytes_from_the_frame_that_was_made_before(
    codec: Codec, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, calls = Message("chat", "x" * size), list[Message]()
    wanted = codec.encode(message)
    encode = type(codec).encode

    def counted(self: Codec, message: Message, *more: int) -> bytes:
        calls.append(message)
        return encode(self, message, *more)

    monkeypatch.setattr(type(codec), "encode", counted)
    frame = EncodedFrame(message)
    assert frame.websocket(codec).endswith(wanted)
    assert frame.encoded(codec) == wanted
    assert frame.websocket(codec).endswith(wanted)
    assert len(calls) == 1


def test_a_message_that_a_codec_cannot_carry_becomes_an_error_that_names_it() -> None:
    frame = EncodedFrame(Message("chat", 1 << 70, id="7", room_id="r", offset=3, epoch="e"))
    for codec in (JSON, MSGPACK):
        substitute = codec.decode(frame.encoded(codec))
        assert substitute.type == "error"
        assert substitute.payload["code"] == "not_encodable"
        assert (substitute.id, substitute.room_id, substitute.offset) == ("7", "r", 3)


def test_what_the_server_adds_may_exceed_the_limit_of_what_it_accepts() -> None:
    text = "x" * ((1 << 20) - 40)
    assert b"not_encodable" not in EncodedFrame(Message("chat", text, room_id="r" * 100)).encoded(JSON)


def test_an_error_carries_the_id_of_what_it_answers() -> None:
    assert error_message("c", "t", "9").payload == {"code": "c", "message": "t", "ref": "9"}
    assert error_message("c", "t").id is None
