"""permessage-deflate, the sending half (RFC 7692)."""

from __future__ import annotations

import zlib
from typing import Final

__all__ = ["Deflate"]

#: The four bytes that RFC 7692 §7.2.1 takes off each message.
DEFLATE_TAIL: Final = b"\x00\x00\xff\xff"


class Deflate:
    """permessage-deflate for one connection (RFC 7692).

    Parameters
    ----------
    window_bits : int
        9 to 15, as negotiated. Memory: 2^(window_bits + 2) + 2^17 bytes.
    takeover : bool
        Whether a message may refer to earlier ones.
    """

    __slots__ = ("_compressor", "_takeover", "_window_bits")

    def __init__(self, window_bits: int = 15, *, takeover: bool = True) -> None:
        self._window_bits = window_bits
        self._takeover = takeover
        self._compressor = self._new()

    def _new(self) -> zlib._Compress:  # pyright: ignore[reportPrivateUsage]
        return zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -self._window_bits)

    def __call__(self, data: bytes) -> bytes:
        """Compress one message."""
        if not self._takeover:
            self._compressor = self._new()
        out = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return out.removesuffix(DEFLATE_TAIL)
