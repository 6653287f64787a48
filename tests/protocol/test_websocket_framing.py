"""Frames and their headers, built and read: the standard's bytes, and the library's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from rtlab.protocol.websocket_framing import (
    FrameHeader,
    close_frame,
    read_header,
    unframed,
    unmasked,
    websocket_frame,
)


@given(
    st.sampled_from([0, 1, 2, 8, 9, 10]),
    st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 7),
)
def test_what_websockets_writes_is_read_as_it_was_meant(
    opcode: int, size: int, masked: bool, fin: bool, before: int
) -> None:
    payload = b"x" * (size if opcode < 8 else min(size, 125))
    raw = Frame(Opcode(opcode), payload, fin or opcode >= 8).serialize(mask=masked)
    header = read_header(b"?" * before + raw, before)
    assert header == FrameHeader(fin or opcode >= 8, 0, opcode, masked, len(raw) - len(payload), len(payload))
    body = raw[header.size_bytes :]
    assert (unmasked(body, raw[header.size_bytes - 4 : header.size_bytes]) if masked else body) == payload


@given(st.sampled_from([0, 125, 126, 65_536]), st.booleans())
def test_a_header_that_is_not_complete_is_none(size: int, masked: bool) -> None:
    raw = Frame(Opcode.TEXT, b"x" * size).serialize(mask=masked)
    header = read_header(raw)
    assert header is not None
    for cut in range(header.size_bytes):
        assert read_header(raw[:cut]) is None
    assert read_header(raw[: header.size_bytes]) == header


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65535, "81 7e ff ff"),
        (65536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_headers_are_those_of_rfc_6455(length: int, header: str) -> None:
    frame = websocket_frame(1, b"x" * length)
    assert frame == bytes.fromhex(header) + b"x" * length


def test_a_close_frame_never_exceeds_a_control_frame_nor_cuts_a_character() -> None:
    frame = close_frame(1008, "é" * 100)
    assert len(frame) <= 127
    assert frame[4:].decode() == "é" * 61


@given(st.sampled_from([0, 1, 125, 126, 65_535, 65_536]))
def test_the_payload_of_a_servers_frame_comes_back(size: int) -> None:
    assert unframed(websocket_frame(1, b"x" * size)) == b"x" * size
