from __future__ import annotations

import zlib

import pytest

from rtlab.protocol.permessage_deflate import Deflate, Deflater, deflated

TAIL = b"\x00\x00\xff\xff"


def test_each_message_follows_the_one_before_only_with_takeover() -> None:
    deflate = Deflate(server_max_window_bits=12)
    messages = [b"again and again" * 20] * 3
    sender, receiver = Deflater(deflate), zlib.decompressobj(-12)
    out = [sender(message) for message in messages]
    assert [receiver.decompress(data + TAIL) for data in out] == messages
    assert len(out[1]) < len(out[0])
    alone = [deflated(message, deflate) for message in messages]
    assert [zlib.decompressobj(-12).decompress(data + TAIL) for data in alone] == messages
    assert len(set(alone)) == 1


def test_a_small_window_forgets() -> None:
    repeated = bytes(range(256)) * 4  # returns after 256 bytes
    far = repeated + b"x" * 1024 + repeated
    sizes = [len(deflated(far, Deflate(server_max_window_bits=bits))) for bits in (9, 15)]
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize(
    "deflate",
    [Deflate(), Deflate(server_max_window_bits=9, client_no_context_takeover=True, memory_level=1, level=9)],
)
def test_parameters_as_text_come_back(deflate: Deflate) -> None:
    assert Deflate.parse(str(deflate)) == deflate


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server_max_window_bits=8", "from 9 to 15, got 8"),
        ("server_max_window_bits", "server_max_window_bits=NUMBER"),
        ("server_max_window_bits=-9", "server_max_window_bits=NUMBER"),
        ("server_no_context_takeover=1", "server_no_context_takeover without a value"),
        ("level=9; level=9", "once, got 'level=9'"),
        ("windows=9", "expected each of server_max_window_bits, "),
        ("level=10", "level from 1 to 9, got 10"),
    ],
)
def test_wrong_parameters_are_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Deflate.parse(text)


def test_values_of_a_wrong_type_are_refused() -> None:
    with pytest.raises(ValueError, match="server_no_context_takeover to be True or False, got 1"):
        Deflate(server_no_context_takeover=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level from 1 to 9, got True"):
        Deflate(level=True)
