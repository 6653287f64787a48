"""Builds raw WebSocket frames and handshake requests, valid or deliberately invalid, and reads frames."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rtlab.protocol.urls import Url
from rtlab.protocol.websocket_framing import read_header, unmasked

__all__ = [
    "FrameReader",
    "ReceivedFrame",
    "new_key",
    "raw_frame",
    "request_head",
    "upgrade_fields",
]

#: A fixed masking key is enough for tests; RFC 6455 §5.3 requires real clients to use unpredictable keys.
_MASK: Final = b"\x37\xfa\x21\x3d"
_READ_BYTES: Final = 64 * 1024
#: Larger frames are refused, so that none is held in memory; no server under test has a reason to send one.
_MAX_FRAME_BYTES: Final = 64 * 1024 * 1024

Fields = Mapping[str, str | Sequence[str] | None]


class ReceivedFrame(NamedTuple):
    """A frame as it was received, with its payload unmasked."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame; 1005 if the frame has none (RFC 6455 §7.4.1)."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else 1005


def raw_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = True,
    length_bytes: int | None = None,
    length: int | None = None,
) -> bytes:
    """Make a frame, including invalid ones that no library would send.

    Parameters
    ----------
    opcode, payload, fin
        As defined in RFC 6455 §5.2.
    rsv : int
        The three reserved bits; 4 is RSV1.
    mask : bool
        Whether to mask the payload, as clients must and servers must not (§5.1).
    length_bytes : {0, 2, 8}, optional
        Bytes of the extended payload length. None: the fewest that are needed.
    length : int, optional
        The payload length to declare. None: the true length.

    Examples
    --------
    >>> raw_frame(1, b"hi", mask=False).hex(" ")
    '81 02 68 69'
    """
    size = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    head = bytes([fin << 7 | rsv << 4 | opcode])
    head += bytes([mask << 7 | {0: size, 2: 126, 8: 127}[length_bytes]])
    head += size.to_bytes(length_bytes, "big") if length_bytes else b""
    return head + (_MASK + unmasked(payload, _MASK) if mask else payload)


class FrameReader:
    """Reads whole frames from a stream.

    Parameters
    ----------
    reader : asyncio.StreamReader
        The stream to read from.
    rest : bytes
        Bytes of the stream that have been read already.
    """

    def __init__(self, reader: asyncio.StreamReader, rest: bytes = b"") -> None:
        self._reader = reader
        self._buffer = rest

    async def next(self) -> ReceivedFrame | None:
        """Return the next frame; None if the stream ends before it is complete, or if it exceeds 64 MiB."""
        while True:
            header = read_header(self._buffer)
            if header is not None:
                end = header.size_bytes + header.payload_bytes
                if end > _MAX_FRAME_BYTES:
                    return None
                if len(self._buffer) >= end:
                    payload = self._buffer[header.size_bytes : end]
                    if header.masked:
                        payload = unmasked(payload, self._buffer[header.size_bytes - 4 : header.size_bytes])
                    self._buffer = self._buffer[end:]
                    return ReceivedFrame(header.fin, header.rsv, header.opcode, header.masked, payload)
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data


def upgrade_fields(key: str) -> dict[str, str]:
    """Return the header fields that every handshake needs besides ``Host`` (RFC 6455 §4.1)."""
    return {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    }


def request_head(url: Url, fields: Fields, *, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """Make a request's head.

    Parameters
    ----------
    url : Url
        Gives the request target, and the ``Host`` unless `fields` contains one.
    fields : mapping
        Header fields by name. A sequence sends the field several times, None leaves it out.
    method, version : str
        Method and HTTP version of the request line.
    """
    target = (url.path or "/") + ("" if url.query is None else f"?{url.query}")
    lines = [f"{method} {target} {version}"]
    for name, value in {"Host": url.netloc, **fields}.items():
        values = () if value is None else (value,) if isinstance(value, str) else value
        lines += [f"{name}: {one}" for one in values]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def new_key() -> str:
    """Return a key for one handshake: 16 random bytes in base64 (RFC 6455 §4.1)."""
    return base64.b64encode(secrets.token_bytes(16)).decode()
