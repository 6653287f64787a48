"""The scanners: nothing lost, nothing invented, whatever the cuts."""

from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from rtlab.faults.toxics.message_boundary_scanner import (
    EventScanner,
    FrameScanner,
    NotFrames,
    StreamUnit,
    message_type,
)


def frame(opcode: int, data: bytes, *, mask: bool, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), data, fin).serialize(mask=mask)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({c % (len(data) + 1) for c in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


messages = st.lists(
    st.tuples(st.sampled_from(["chat", "tick", ""]), st.integers(0, 70_000), st.booleans()), max_size=6
)


@given(messages, st.booleans(), st.lists(st.integers(0), max_size=8))
def test_frames_at_any_cut(spec: list[tuple[str, int, bool]], mask: bool, cuts: list[int]) -> None:
    raw, want = b"", []
    for kind, size, binary in spec:
        value = {"type": kind, "pad": "x" * size}
        payload = msgspec.msgpack.encode(value) if binary else json.dumps(value).encode()
        one = frame(2 if binary else 1, payload, mask=mask)
        raw += one + frame(9, b"", mask=mask)
        want.append(StreamUnit(one, kind))
    scanner = FrameScanner(masked=mask)
    units = [unit for piece in pieces(raw, cuts) for unit in scanner.feed(piece)]
    assert b"".join(u.raw for u in units) == raw
    assert [u for u in units if u.type is not None] == want
    assert scanner.pending == 0


@given(st.binary(max_size=3000), st.lists(st.integers(0), max_size=8), st.booleans())
def test_no_byte_is_lost_in_noise(data: bytes, cuts: list[int], mask: bool) -> None:
    scanner = FrameScanner(masked=mask)
    got = b""
    for piece in pieces(data, cuts):
        try:
            got += b"".join(unit.raw for unit in scanner.feed(piece))
        except NotFrames:
            got += scanner.flush()
    assert got + scanner.flush() == data


def test_a_message_in_fragments_is_one_unit_and_pings_overtake_it() -> None:
    first = frame(1, b'{"type": "ch', mask=True, fin=False)
    ping = frame(9, b"?", mask=True)
    last = frame(0, b'at"}', mask=True)
    units = FrameScanner(masked=True).feed(first + ping + last)
    assert units == [StreamUnit(ping, None), StreamUnit(first + last, "chat")]


@pytest.mark.parametrize(
    ("data", "masked"),
    [
        (b"\x83\x00", False),  # reserved opcode
        (b"\x91\x00", False),  # RSV3
        (b"\x09\x00", False),  # a ping in fragments
        (b"\x89\x7e\x01\x00", False),  # a long ping
        (b"\x81\x00", True),  # a client must mask
        (b"\x81\x80", False),  # a server must not
    ],
)
def test_what_no_frame_looks_like(data: bytes, masked: bool) -> None:
    with pytest.raises(NotFrames):
        FrameScanner(masked=masked).feed(data)


def test_a_huge_frame_passes_unread() -> None:
    head = b"\x82\x7f" + (1 << 33).to_bytes(8, "big")
    scanner = FrameScanner(masked=False)
    assert scanner.feed(head + b"x" * 1000) == [StreamUnit(head + b"x" * 1000, None)]
    assert scanner.pending == 0


def test_compressed_messages_have_no_type() -> None:
    raw = b'\xc1\x0c{"type":"a"}'
    assert FrameScanner(masked=False).feed(raw) == [StreamUnit(raw, "")]


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        *((b'{"type":"a","payload":[1]}', "a"), (b"[]", ""), (b"{", ""), (b'{"type":1}', ""), (b"\xff", "")),
        *((b'{"type":"\xe9"}', ""), (b'{"payload":' + b'{"a":' * 5000, "")),
    ],
)
def test_message_type(payload: bytes, kind: str) -> None:
    assert message_type(payload) == kind


@given(
    st.lists(st.sampled_from(["data: 1", "event: tick", ": hi", "data: two: 2", "id: 3", "retry: 4", ""])),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0), max_size=8),
)
def test_events_at_any_cut(lines: list[str], end: str, cuts: list[int]) -> None:
    data = "".join(line + end for line in lines).encode()
    whole, split = EventScanner(), EventScanner()
    units = whole.feed(data)
    others = [unit for piece in pieces(data, cuts) for unit in split.feed(piece)]
    assert b"".join(u.raw for u in units) + whole.flush() == data
    assert b"".join(u.raw for u in others) + split.flush() == data
    if end != "\r":  # a lone CR at a cut may or may not have its LF coming
        assert [u for u in others if u.type] == [u for u in units if u.type]


def test_types_of_events() -> None:
    scanner = EventScanner()
    units = scanner.feed(b"event: tick\ndata: 1\n\n: comment\n\ndata: 2\n\nevent: only\n\ndata: half")
    assert [u.type for u in units] == ["tick", None, "message", None]
    assert scanner.flush() == b"data: half"
