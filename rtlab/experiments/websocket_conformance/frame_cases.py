"""Valid and invalid frames as test cases; for a server they are sent masked, for a client unmasked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rtlab.protocol.websocket_framing import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

__all__ = ["DEFLATE_CASES", "FRAME_CASES", "NOTE", "Fails", "FrameCase", "Raw", "Returns", "Takes"]

#: A message in rtlab's format, which a server echoes and a client passes to its handlers.
NOTE: Final = '{"type":"echo","payload":"né"}'.encode()

_SPLIT: Final = NOTE.index(b"\xa9")  # in the middle of the é


class Raw(NamedTuple):
    """One frame to send; `wrong_mask` inverts the masking that its direction requires (§5.1)."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    wrong_mask: bool = False
    length_bytes: int | None = None
    length: int | None = None


class Fails(NamedTuple):
    """The receiver must fail the connection; if it sends a close code, one of `codes` (§7.1.7)."""

    codes: tuple[int, ...]


class Takes(NamedTuple):
    """The receiver must continue, deliver `notes` messages, and answer pings with `pongs`."""

    notes: int = 1
    pongs: tuple[bytes, ...] = ()


class Returns(NamedTuple):
    """The receiver must answer a close frame with one of `codes`, and end the connection (§5.5.1)."""

    codes: tuple[int, ...]


class FrameCase(NamedTuple):
    """One rule, the frames that test it, and the required reaction of the receiver."""

    name: str
    section: str
    frames: tuple[Raw, ...]
    expect: Fails | Takes | Returns


_PROTOCOL_ERROR: Final = Fails((1002,))


def _case(
    name: str, section: str, frames: Raw | Sequence[Raw], expect: Fails | Takes | Returns = _PROTOCOL_ERROR
) -> FrameCase:
    return FrameCase(name, section, (frames,) if isinstance(frames, Raw) else tuple(frames), expect)


def _close(code: int, reason: bytes = b"") -> Raw:
    return Raw(CLOSE, struct.pack("!H", code) + reason)


def _deflated(data: bytes, *, finish: bool = False, level: int = 6, wbits: int = -15) -> bytes:
    made = zlib.compressobj(level, zlib.DEFLATED, wbits)
    body = made.compress(data) + made.flush(zlib.Z_FINISH if finish else zlib.Z_SYNC_FLUSH)
    return body + b"\0" if finish else body.removesuffix(b"\0\0\xff\xff")  # RFC 7692 §7.2.1, §7.2.3.4


_MASKING: Final = "6455 §5.1"
_RSV: Final = "6455 §5.2"
_CONTROL: Final = "6455 §5.5"
_FRAGMENTS: Final = "6455 §5.4"
_UTF8: Final = "6455 §8.1"
_CODES: Final = "6455 §7.4"

_BAD_TEXT: Final = {
    "a byte that never occurs": b"\xff",
    "a surrogate": b"\xed\xa0\x80",
    "an overlong form": b"\xc0\xaf",
    "a number above U+10FFFF": b"\xf4\x90\x80\x80",
    "a character cut off": b"h\xc3",
}
_RESERVED_OPCODES: Final = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
_FORBIDDEN_CODES: Final = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535)
_USABLE_CODES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)

FRAME_CASES: Final[tuple[FrameCase, ...]] = (
    # Valid messages
    _case("a text frame is a message", "6455 §5.6", Raw(TEXT, NOTE), Takes()),
    _case("two in one write are two", "6455 §5.6", [Raw(TEXT, NOTE), Raw(TEXT, NOTE)], Takes(2)),
    _case("a length of 16 bits", _RSV, Raw(TEXT, NOTE + b" " * 200), Takes()),
    _case("a length of 64 bits", _RSV, Raw(TEXT, NOTE + b" " * 70_000), Takes()),
    # Masks
    *(
        _case(f"the wrong masking of {name} is refused", _MASKING, Raw(opcode, body, wrong_mask=True))
        for name, opcode, body in (
            ("text", TEXT, NOTE),
            ("a ping", PING, b"x"),
            ("a close", CLOSE, b"\x03\xe8"),
            ("an empty pong", PONG, b""),
        )
    ),
    _case(
        "a continuation of the wrong masking is refused",
        _MASKING,
        [Raw(TEXT, NOTE[:5], fin=False), Raw(CONTINUATION, NOTE[5:], wrong_mask=True)],
    ),
    # Reserved bits and opcodes
    *(
        _case(f"reserved bits {rsv:03b} of {name} are refused", _RSV, Raw(opcode, body, rsv=rsv))
        for rsv in (4, 2, 1)
        for name, opcode, body in (("text", TEXT, NOTE), ("a ping", PING, b""), ("a close", CLOSE, b""))
    ),
    *(_case(f"opcode {opcode:#x} is refused", _RSV, Raw(opcode, b"x")) for opcode in _RESERVED_OPCODES),
    # Lengths
    _case(
        "a length with its highest bit set is refused", _RSV, Raw(TEXT, length=1 << 63), Fails((1002, 1009))
    ),
    _case("a length of 16 bits for 5 bytes is refused", _RSV, Raw(PONG, b"hello", length_bytes=2)),
    _case("a length of 64 bits for 200 bytes is refused", _RSV, Raw(TEXT, b" " * 200, length_bytes=8)),
    _case(
        "a message beyond any limit is refused at its header",
        "6455 §10.4",
        Raw(TEXT, length=1 << 40),
        Fails((1009,)),
    ),
    # Control frames
    *(
        _case(f"a {name} of 126 bytes is refused", _CONTROL, Raw(opcode, b"\x03\xe8" + b"x" * 124))
        for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE))
    ),
    *(
        _case(f"a fragmented {name} is refused", _CONTROL, Raw(opcode, b"\x03\xe8", fin=False))
        for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE))
    ),
    _case("a ping is answered with its data", "6455 §5.5.2", Raw(PING, b"data"), Takes(0, (b"data",))),
    _case("an empty ping is answered", "6455 §5.5.2", Raw(PING), Takes(0, (b"",))),
    _case("a ping of 125 bytes is answered", _CONTROL, Raw(PING, b"x" * 125), Takes(0, (b"x" * 125,))),
    _case(
        "a pong that nobody asked for changes nothing",
        "6455 §5.5.3",
        [Raw(PONG, b"?"), Raw(TEXT, NOTE)],
        Takes(),
    ),
    # Fragments
    _case(
        "two fragments are one message",
        _FRAGMENTS,
        [Raw(TEXT, NOTE[:5], fin=False), Raw(CONTINUATION, NOTE[5:])],
        Takes(),
    ),
    _case(
        "a fragment for each byte",
        _FRAGMENTS,
        [
            Raw(CONTINUATION if at else TEXT, NOTE[at : at + 1], fin=at == len(NOTE) - 1)
            for at in range(len(NOTE))
        ],
        Takes(),
    ),
    _case(
        "empty fragments are allowed",
        _FRAGMENTS,
        [
            Raw(TEXT, fin=False),
            Raw(CONTINUATION, fin=False),
            Raw(CONTINUATION, NOTE, fin=False),
            Raw(CONTINUATION),
        ],
        Takes(),
    ),
    _case(
        "a ping between fragments is answered",
        _FRAGMENTS,
        [Raw(TEXT, NOTE[:5], fin=False), Raw(PING, b"between"), Raw(CONTINUATION, NOTE[5:])],
        Takes(1, (b"between",)),
    ),
    _case("a continuation of nothing is refused", _FRAGMENTS, Raw(CONTINUATION, b"x")),
    _case("an unfinished continuation of nothing is refused", _FRAGMENTS, Raw(CONTINUATION, b"x", fin=False)),
    *(
        _case(
            f"{name} inside {outer} is refused",
            _FRAGMENTS,
            [Raw(TEXT, first, fin=False), Raw(opcode, NOTE, fin=fin)],
        )
        for name, opcode, fin in (("text", TEXT, True), ("binary", BINARY, True), ("a fragment", TEXT, False))
        for outer, first in (("a fragmented message", NOTE[:5]), ("an empty first fragment", b""))
    ),
    # Text
    _case(
        "a character may be cut by a fragment's end",
        _UTF8,
        [Raw(TEXT, NOTE[:_SPLIT], fin=False), Raw(CONTINUATION, NOTE[_SPLIT:])],
        Takes(),
    ),
    *(
        _case(f"text with {name} is refused", _UTF8, Raw(TEXT, b"h" + data), Fails((1007,)))
        for name, data in _BAD_TEXT.items()
    ),
    *(
        _case(
            f"{name} over two fragments is refused",
            _UTF8,
            [Raw(TEXT, data[:1], fin=False), Raw(CONTINUATION, data[1:])],
            Fails((1007,)),
        )
        for name, data in _BAD_TEXT.items()
        if len(data) > 1
    ),
    # The end
    _case("a close without a code is answered", "6455 §5.5.1", Raw(CLOSE), Returns((1000, 1005))),
    _case("a close of one byte is refused", "6455 §5.5.1", Raw(CLOSE, b"\x03")),
    _case("a close reason that is not UTF-8 is refused", _UTF8, _close(1000, b"\xff"), Fails((1002, 1007))),
    _case("a close reason of 123 bytes is answered", _CONTROL, _close(1000, b"r" * 123), Returns((1000,))),
    *(_case(f"close code {code} is refused", _CODES, _close(code)) for code in _FORBIDDEN_CODES),
    *(
        _case(f"close code {code} is answered", _CODES, _close(code), Returns((code, 1000)))
        for code in _USABLE_CODES
    ),
    _case(
        "after a close nothing counts", "6455 §5.5.1", [_close(1000), Raw(PING, b"late")], Returns((1000,))
    ),
    _case(
        "a close between fragments ends all",
        "6455 §5.5.1",
        [Raw(TEXT, NOTE[:5], fin=False), _close(1000)],
        Returns((1000, 1002)),
    ),
)

_RSV1: Final = 4
_WHOLE: Final = _deflated(NOTE)
_PIECES: Final = [Raw(TEXT, _WHOLE[:4], fin=False, rsv=_RSV1), Raw(CONTINUATION, _WHOLE[4:])]
_BOMB: Final = _deflated(b"\0" * (16 << 20), level=9)


def _twice() -> list[Raw]:
    """Return two messages compressed with one context: the second refers to the first (RFC 7692 §7.2.3.2)."""
    made: Any = zlib.compressobj(6, zlib.DEFLATED, -15)
    bodies = [(made.compress(NOTE) + made.flush(zlib.Z_SYNC_FLUSH))[:-4] for _ in range(2)]
    return [Raw(TEXT, body, rsv=_RSV1) for body in bodies]


#: Cases for a connection that has negotiated permessage-deflate without parameters.
DEFLATE_CASES: Final[tuple[FrameCase, ...]] = (
    _case("a compressed message is taken", "7692 §7.2.2", Raw(TEXT, _WHOLE, rsv=_RSV1), Takes()),
    _case("one that is not compressed, too", "7692 §6", Raw(TEXT, NOTE), Takes()),
    _case("compressed in two fragments", "7692 §6.1", _PIECES, Takes()),
    _case(
        "a ping between them is answered",
        "7692 §6.1",
        [_PIECES[0], Raw(PING, b"x"), _PIECES[1]],
        Takes(1, (b"x",)),
    ),
    _case("a message may refer to the one before", "7692 §7.2.3.2", _twice(), Takes(2)),
    _case(
        "blocks that are only stored",
        "7692 §7.2.3.3",
        Raw(TEXT, _deflated(NOTE, level=0), rsv=_RSV1),
        Takes(),
    ),
    _case("a final block", "7692 §7.2.3.4", Raw(TEXT, _deflated(NOTE, finish=True), rsv=_RSV1), Takes()),
    _case(
        "a message after a final block",
        "7692 §7.2.3.4",
        [Raw(TEXT, _deflated(NOTE, finish=True), rsv=_RSV1), Raw(TEXT, _WHOLE, rsv=_RSV1)],
        Takes(2),
    ),
    _case(
        "blocks behind a final block in one message",
        "7692 §7.2.1",
        Raw(TEXT, _deflated(NOTE[:9], finish=True)[:-1] + _deflated(NOTE[9:]), rsv=_RSV1),
        Takes(),
    ),
    _case("reserved bit 1 of a ping is refused", "7692 §6.1", Raw(PING, b"x", rsv=_RSV1)),
    _case("reserved bit 1 of a close is refused", "7692 §6.1", Raw(CLOSE, b"\x03\xe8", rsv=_RSV1)),
    _case(
        "reserved bit 1 of a continuation is refused",
        "7692 §6.1",
        [_PIECES[0], Raw(CONTINUATION, _WHOLE[4:], rsv=_RSV1)],
    ),
    _case("reserved bit 2 is refused all the same", _RSV, Raw(TEXT, _WHOLE, rsv=_RSV1 | 2)),
    _case(
        "what cannot be inflated is refused",
        "7692 §7.2.2",
        Raw(TEXT, b"\xff" * 20, rsv=_RSV1),
        Fails((1002, 1007)),
    ),
    _case(
        "text that is not UTF-8 inside is refused",
        _UTF8,
        Raw(TEXT, _deflated(b"\xff"), rsv=_RSV1),
        Fails((1007,)),
    ),
    _case("16 MiB in 16 KB are refused", "6455 §10.4", Raw(TEXT, _BOMB, rsv=_RSV1), Fails((1009,))),
    _case("a frame of the wrong masking is refused", _MASKING, Raw(TEXT, _WHOLE, rsv=_RSV1, wrong_mask=True)),
)
