"""Memory that permessage-deflate holds for each connection, by the formulas in zlib's own header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["deflate_memory_bytes", "inflate_memory_bytes"]


def deflate_memory_bytes(window_bits: ArrayLike = 15, memory_level: ArrayLike = 8) -> NDArray[np.int64]:
    """Memory of one permessage-deflate compressor: 2^(w+2) + 2^(m+9) (zlib, zconf.h).

    Parameters
    ----------
    window_bits : int or array
        w, 9 to 15 (negotiated as in RFC 7692 section 7.1.2).
    memory_level : int or array
        zlib's ``memLevel``, m, 1 to 9.

    Returns
    -------
    int or array
        Bytes for each connection that keeps its compression context between messages.

    Examples
    --------
    >>> int(deflate_memory_bytes()) // 1024
    256
    """
    w, m = np.asarray(window_bits, np.int64), np.asarray(memory_level, np.int64)
    return 2 ** (w + 2) + 2 ** (m + 9)


def inflate_memory_bytes(window_bits: ArrayLike = 15) -> NDArray[np.int64]:
    """Memory of one permessage-deflate decompressor's window: 2^w (zlib, zconf.h).

    Parameters
    ----------
    window_bits : int or array
        Base-2 logarithm of the window size, w, 8 to 15.

    Returns
    -------
    int or array
        Bytes, without the few kilobytes of fixed tables.
    """
    return 2 ** np.asarray(window_bits, np.int64)
