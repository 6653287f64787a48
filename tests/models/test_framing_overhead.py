"""Overhead: sizes against encoders that know nothing of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from rtlab.models import framing_overhead as model


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_534, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("masked", [False, True])
def test_frame_headers_are_those_of_the_websockets_package(size: int, masked: bool) -> None:
    encoded = Frame(Opcode.BINARY, bytes(size)).serialize(mask=masked)
    assert model.websocket_header_bytes(size, masked=masked) == len(encoded) - size


@given(st.integers(1, 10**9))
def test_a_chunk_is_its_hexadecimal_size_and_two_line_ends(size: int) -> None:
    assert model.chunk_overhead_bytes(size) == len(f"{size:x}\r\n\r\n")


@given(st.integers(0, 70_000), st.text("abc", max_size=12), st.text("0123", max_size=12))
def test_an_event_is_its_lines(size: int, event: str, event_id: str) -> None:
    lines = "x" * size
    text = (f"event: {event}\n" if event else "") + (f"id: {event_id}\n" if event_id else "")
    text += f"data: {lines}\n\n"
    plain = model.sse_overhead_bytes(size, event_bytes=len(event), id_bytes=len(event_id), chunked=False)
    assert plain == len(text) - size
    chunked = model.sse_overhead_bytes(size, event_bytes=len(event), id_bytes=len(event_id))
    assert chunked == len(f"{len(text):x}\r\n{text}\r\n") - size


def test_an_http_head_is_its_text() -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", "2")]
    assert model.http_head_bytes("HTTP/1.1 200 OK", headers) == len(head)


def test_segments_are_full_but_the_last() -> None:
    sizes = np.array([0, 1, 1448, 1449, 14_480, 14_481])
    np.testing.assert_array_equal(model.segments(sizes), [0, 1, 1, 2, 10, 11])
    np.testing.assert_array_equal(model.wire_bytes(sizes), sizes + 52 * np.array([0, 1, 1, 2, 10, 11]))


def test_the_famous_ratio_shrinks_to_ten_with_its_segments() -> None:
    http, frame = model.wire_bytes(871, 3), model.wire_bytes(2, 2)
    assert (http, frame) == (1027, 106)
    assert 871 / 2 > 435
    assert http / frame < 10
