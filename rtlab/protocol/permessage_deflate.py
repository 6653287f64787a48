"""permessage-deflate (RFC 7692): its parameters, and a server's compression of messages."""

from __future__ import annotations

import zlib
from typing import Any, Final, Self, get_type_hints

import msgspec

__all__ = ["Deflate", "Deflater", "deflated"]

#: The four bytes that a sender removes from the end of each message (RFC 7692 §7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"


class Deflate(msgspec.Struct, frozen=True, kw_only=True):
    """The compression parameters of a WebSocket, offered by one end or agreed on by both.

    Window bits limit the sender that they name, and so also the memory of the receiver. The
    last two parameters concern only the sender; they are not negotiated.

    Parameters
    ----------
    server_max_window_bits, client_max_window_bits : int
        9 to 15: the sender refers back by at most 2^bits bytes (RFC 7692 §7.1.2). 8 is
        legal on the wire, but zlib does not support it.
    server_no_context_takeover, client_no_context_takeover : bool
        Whether that sender compresses each message on its own (RFC 7692 §7.1.1): it keeps no
        memory between messages, and a server compresses a broadcast only once for all receivers.
    memory_level : int
        1 to 9: zlib uses 2^(memory_level + 9) bytes for its hash table and pending symbols.
    level : int
        The compression level, 1 (fastest) to 9 (smallest output).

    Examples
    --------
    >>> Deflate(server_max_window_bits=9, server_no_context_takeover=True)
    Deflate('server_max_window_bits=9; server_no_context_takeover')
    >>> Deflate.parse("server_max_window_bits=9").server_max_window_bits
    9
    """

    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    memory_level: int = 8
    level: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("server_max_window_bits", 9, 15),
            ("client_max_window_bits", 9, 15),
            ("memory_level", 1, 9),
            ("level", 1, 9),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"expected {name} from {low} to {high}, got {value!r}")
        for name in ("server_no_context_takeover", "client_no_context_takeover"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"expected {name} to be True or False, got {getattr(self, name)!r}")

    def __str__(self) -> str:
        """Return the parameters that differ from the defaults, in the form of the handshake's header."""
        changed = [
            (name, getattr(self, name))
            for name in self.__struct_fields__
            if getattr(self, name) != getattr(_DEFAULT, name)
        ]
        return "; ".join(name if value is True else f"{name}={value}" for name, value in changed)

    def __repr__(self) -> str:
        return f"Deflate({str(self)!r})" if str(self) else "Deflate()"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read parameters in the form that `str` returns.

        Parameters
        ----------
        text : str
            For example ``"server_max_window_bits=9; server_no_context_takeover"``; empty for
            the defaults.

        Raises
        ------
        ValueError
            A name is unknown or repeated, or a value is out of range.
        """
        types = get_type_hints(cls)
        given: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            name, equals, value = part.partition("=")
            kind = types[name] if name in cls.__struct_fields__ else None
            if kind is None or name in given:
                raise ValueError(f"expected each of {', '.join(cls.__struct_fields__)} once, got {part!r}")
            if bool(equals) != (kind is int) or (equals and not value.isdecimal()):
                raise ValueError(
                    f"expected {name}{'=NUMBER' if kind is int else ' without a value'}, got {part!r}"
                )
            given[name] = int(value) if equals else True
        return cls(**given)


_DEFAULT: Final = Deflate()


def _compressor(deflate: Deflate) -> zlib._Compress:  # pyright: ignore[reportPrivateUsage]
    return zlib.compressobj(
        deflate.level, zlib.DEFLATED, -deflate.server_max_window_bits, deflate.memory_level
    )


def _message(compressor: zlib._Compress, data: bytes) -> bytes:  # pyright: ignore[reportPrivateUsage]
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


def deflated(data: bytes, deflate: Deflate) -> bytes:
    """Compress one message of a server on its own, without context takeover.

    Parameters
    ----------
    data : bytes
        The message.
    deflate : Deflate
        The parameters.

    Returns
    -------
    bytes
        The payload of a frame that has RSV1 set.

    Examples
    --------
    >>> len(deflated(b"again and " * 100, Deflate()))
    23
    """
    return _message(_compressor(deflate), data)


class Deflater:
    """Compresses the messages of one connection of a server, with context takeover.

    Parameters
    ----------
    deflate : Deflate
        The parameters. The memory grows with what is sent, up to 2^(server_max_window_bits + 2)
        + 2^(memory_level + 9) bytes (zlib, zconf.h).
    """

    __slots__ = ("_compressor",)

    def __init__(self, deflate: Deflate) -> None:
        self._compressor = _compressor(deflate)

    def __call__(self, data: bytes) -> bytes:
        """Compress one message, which may refer to earlier ones."""
        return _message(self._compressor, data)
