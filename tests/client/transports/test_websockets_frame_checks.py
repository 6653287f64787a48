"""The reader takes lengths that are as short as they can be, and blocks behind a final one."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError

from rtlab.client.transports.websockets_frame_checks import Inflater, StrictReader
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import raw_frame


def read(data: bytes, step: int) -> list[bytes]:
    """Read frames as the library does, from pieces of so many bytes; return the payloads."""
    reader = StrictReader()
    payloads: list[bytes] = []

    def frames():
        while True:
            head = yield from reader.read_exact(2)
            length = head[1] & 0x7F
            if length > 125:
                length = int.from_bytes((yield from reader.read_exact(2 if length == 126 else 8)), "big")
            payloads.append(bytes((yield from reader.read_exact(length))))

    parser = frames()
    next(parser)
    for at in range(0, len(data), step):
        reader.feed_data(data[at : at + step])
        next(parser)
    return payloads


@given(st.lists(st.sampled_from([0, 2, 8, 125, 126, 127, 300, 65_535, 65_536]), max_size=5), st.booleans())
def test_every_right_length_passes_however_it_is_cut(sizes: list[int], whole: bool) -> None:
    data = b"".join(raw_frame(2, bytes(size), mask=False) for size in sizes)
    assert list(map(len, read(data, len(data) or 1 if whole else 997))) == sizes


@pytest.mark.parametrize(("size", "length_bytes"), [(5, 2), (125, 2), (200, 8), (65_535, 8)])
def test_a_length_that_is_longer_than_it_need_be_is_refused(size: int, length_bytes: int) -> None:
    with pytest.raises(ProtocolError):
        read(raw_frame(2, bytes(size), mask=False, length_bytes=length_bytes), 1 << 20)


def deflated(data: bytes, mode: int) -> bytes:
    made = zlib.compressobj(6, zlib.DEFLATED, -15)
    return made.compress(data) + made.flush(mode)


TAIL = b"\x00\x00\xff\xff"


@pytest.mark.parametrize("behind", [b"", b"\0"])
def test_a_final_block_ends_nothing_but_itself(behind: bytes) -> None:
    inflater = Inflater(15)
    for _ in range(2):
        assert inflater.decompress(deflated(b"a", zlib.Z_FINISH) + behind + TAIL, 100) == b"a"
        # As the library does it for long messages: the tail by itself.
        assert inflater.decompress(deflated(b"b", zlib.Z_FINISH) + behind, 100) == b"b"
        assert inflater.decompress(TAIL, 1) == b""
    two = deflated(b"c" * 60, zlib.Z_FINISH) + deflated(b"d" * 60, zlib.Z_SYNC_FLUSH)
    assert inflater.decompress(two, 100) == b"c" * 60 + b"d" * 40
    assert inflater.unconsumed_tail
    inflater = Inflater(15)
    assert inflater.decompress(two, 60) == b"c" * 60
    assert inflater.unconsumed_tail
