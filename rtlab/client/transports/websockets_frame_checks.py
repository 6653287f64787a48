"""Checks of received frames that RFC 6455 and RFC 7692 demand and the `websockets` library lacks.

The library accepts lengths that are not minimally encoded, and drops the data behind a DEFLATE block
that is marked as the last one.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator
from typing import Any, Final

from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.streams import StreamReader

__all__ = ["ClientDeflate", "Inflater", "StrictReader"]

#: What the next read returns: a header's first two bytes, its extended length, or the rest of the frame.
_HEADER: Final = 0
_LENGTH: Final = 1
_PAYLOAD: Final = 2

#: The bytes that a receiver appends to each message before it inflates it (RFC 7692 §7.2.2).
_TAIL: Final = b"\x00\x00\xff\xff"


class StrictReader(StreamReader):
    """The library's buffer of received bytes, which refuses a length that is not minimally encoded.

    The library reads a frame in two or three pieces: the header's first two bytes, the extended length
    if there is one, and the payload.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next = _HEADER

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """Return the next `n` bytes once they have arrived.

        Raises
        ------
        ProtocolError
            RFC 6455 §5.2: the minimal number of bytes must be used to encode the length.
        """
        buffer = self.buffer
        while len(buffer) < n:
            if self.eof:
                raise EOFError(f"stream ends after {len(buffer)} bytes, expected {n} bytes")
            yield
        data = buffer[:n]
        del buffer[:n]
        if self._next == _HEADER:
            self._next = _LENGTH if n == 2 and data[1] & 0x7F > 125 else _PAYLOAD
        elif self._next == _LENGTH:
            self._next = _PAYLOAD
            length = int.from_bytes(data, "big")
            if length < 126 if n == 2 else length < 65_536 or length >> 63:
                raise ProtocolError("a length must be as short as it can be")
        else:
            self._next = _HEADER
        return data


class Inflater:
    """Inflates all blocks of a message, even those behind a block marked as the last (RFC 7692 §7.2.1).

    A sender may end each message, or each part of one, with such a block (BFINAL set). The data behind
    it is a new DEFLATE stream, which does not refer to earlier data.

    Parameters
    ----------
    bits : int
        The window's size, as a power of two.

    Attributes
    ----------
    unconsumed_tail : bytes
        As in `zlib.decompressobj`: input that was not inflated because the output reached `max_length`.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._zlib = zlib.decompressobj(wbits=-bits)
        self._at_start = True
        self.unconsumed_tail = b""

    def decompress(self, data: Any, max_length: int = 0) -> bytes:
        """Return the inflated `data`, at most `max_length` bytes of it; 0 for no limit."""
        if self._at_start and data == _TAIL:
            return b""  # a block marked as the last has ended the message already
        out = self._zlib.decompress(data, max_length)
        self._at_start = False
        while self._zlib.eof:
            rest = self._zlib.unused_data
            self._zlib, self._at_start = zlib.decompressobj(wbits=-self._bits), True
            if not rest or rest == _TAIL:
                break
            if max_length and len(out) >= max_length:
                self.unconsumed_tail = rest
                return out
            out += self._zlib.decompress(rest, max_length and max_length - len(out))
            self._at_start = False
        self.unconsumed_tail = self._zlib.unconsumed_tail
        return out


class _Deflate(PerMessageDeflate):
    """The library's permessage-deflate extension, with `Inflater` as its decoder."""

    def __init__(
        self, remote_resets: bool, local_resets: bool, remote_bits: int, local_bits: int, settings: Any
    ) -> None:
        # False: otherwise the library would make its own decoder for each message.
        super().__init__(False, local_resets, remote_bits, local_bits, settings)
        self._remote_resets = remote_resets
        self.decoder: Any = Inflater(remote_bits)

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        if self._remote_resets and frame.rsv1:  # a message begins
            self.decoder = Inflater(self.remote_max_window_bits)
        return super().decode(frame, max_size=max_size)


class ClientDeflate(ClientPerMessageDeflateFactory):
    """The library's offer of permessage-deflate; the agreed extension reads as RFC 7692 demands."""

    def process_response_params(self, params: Any, accepted_extensions: Any) -> PerMessageDeflate:
        """Return the agreed extension, or raise the exception of the library."""
        agreed = super().process_response_params(params, accepted_extensions)
        return _Deflate(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            agreed.compress_settings,
        )
