from __future__ import annotations

import asyncio

import pytest

from rtlab.capture.annotate_handshake import annotate_handshake
from rtlab.capture.annotate_websocket import annotate_frame
from rtlab.capture.tcp_tap import Tap
from rtlab.client.client_factory_by_transport import make_client
from rtlab.errors import MessageError
from rtlab.lab.lab import Lab
from rtlab.protocol.websocket_framing import TEXT, websocket_frame

TIMEOUT = 20.0


async def test_a_real_handshake_looks_the_same_twice():
    shown: list[str] = []
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        for _ in range(2):
            async with Tap(lab.url) as tap, make_client("websocket", tap.url) as conn:
                await conn.send("ping", "hello")
                await tap.quiet()
                [connection] = tap.connections
                up, down = bytes(connection.up), bytes(connection.down)
            frame = up[up.index(b"\r\n\r\n") + 4 :]
            shown.append(
                "\n".join(
                    repr(part)
                    for part in (annotate_handshake(up), annotate_handshake(down), annotate_frame(frame))
                )
            )
            html = annotate_handshake(up)._repr_html_() + annotate_frame(frame)._repr_html_()
            assert str(connection.number) in html
            assert tap.url.rpartition(":")[2] not in html
    assert shown[0] == shown[1]
    assert "101" in shown[0]
    assert "Sec-WebSocket-Key: …" in shown[0]
    assert '{"type":"ping","payload":"hello"}' in shown[0]
    assert "always masked" in shown[0]


@pytest.mark.parametrize(("size", "code"), [(125, "125"), (126, "126"), (65_535, "126"), (65_536, "127")])
def test_the_length_field(size: int, code: str):
    parts = {part.name: part for part in annotate_frame(websocket_frame(TEXT, b"x" * size)).parts}
    assert parts["payload length"].value == code
    if code == "125":
        assert "extended length" not in parts
    else:
        assert parts["extended length"].value == f"{size:,}"


def test_a_close_frame_says_why():
    payload = (1008).to_bytes(2, "big") + b"no"
    text = repr(annotate_frame(bytes([0x88, len(payload)]) + payload))
    assert "1008 no" in text
    assert "Policy Violation" in text


def test_random_values_are_left_out():
    text = repr(annotate_frame(websocket_frame(TEXT, b'{"type":"echo","payload":1,"ts":12.5,"sent":1e-3}')))
    assert '"payload":1,"ts":…,"sent":…}' in text


def test_half_a_frame_is_refused():
    with pytest.raises(MessageError, match="whole WebSocket frame"):
        annotate_frame(b"\x81\x05abc")


def payload_of(first: int, payload: bytes) -> tuple[str, str]:
    part = annotate_frame(bytes([first, len(payload)]) + payload).parts[-1]
    return part.value, part.comment


def test_a_compressed_payload_is_shown_as_bytes():
    assert payload_of(0xC1, b"\xca\x48\xcd\xc9") == ("ca 48 cd c9", "4 bytes, compressed")
    assert payload_of(0xA1, b"abc") == ("61 62 63", "3 bytes")  # another extension's


@pytest.mark.parametrize("first", [0x80, 0x00, 0x89, 0x8A], ids=["last", "middle", "ping", "pong"])
def test_what_may_be_text_or_bytes_is_shown_as_what_it_is(first: int):
    assert payload_of(first, b"grow") == ("grow", "4 bytes")
    for data in (b"\x00\x01", b"\xff\xfe", b"\xe2\x82"):
        assert payload_of(first, data) == (data.hex(" "), "2 bytes")


@pytest.mark.parametrize(("payload", "value"), [(b"", ""), (b"\x03", "03")])
def test_a_close_frame_without_a_code_has_none(payload: bytes, value: str):
    assert payload_of(0x88, payload) == (value, "no code")
