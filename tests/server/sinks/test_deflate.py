from __future__ import annotations

import zlib

import pytest

from rtlab.server.sinks.deflate import Deflate


@pytest.mark.parametrize("takeover", [True, False])
def test_deflate_is_what_a_receiver_inflates(takeover: bool) -> None:
    deflate = Deflate(12, takeover=takeover)
    inflate = zlib.decompressobj(-12)
    messages = [b"again and again" * 20] * 3
    out = [deflate(message) for message in messages]
    for data, message in zip(out, messages, strict=True):
        receiver = inflate if takeover else zlib.decompressobj(-12)
        assert receiver.decompress(data + b"\x00\x00\xff\xff") == message
    # Only with takeover does a repeat cost next to nothing.
    assert (len(out[1]) < len(out[0])) is takeover
