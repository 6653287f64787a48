"""The bytes that a message takes on the wire beyond its payload.

Sizes are exact where a standard defines them (RFC 6455, HTTP/1.1 chunking). Where none does (the number
of TCP segments), an explicit model estimates them. All size arguments take numbers or arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ETHERNET_MSS",
    "SEGMENT_HEADER_BYTES",
    "chunk_overhead_bytes",
    "http_head_bytes",
    "segments",
    "sse_overhead_bytes",
    "websocket_header_bytes",
    "wire_bytes",
]

#: IPv4 20 + TCP 20 + the timestamps option 12 (RFC 791, 9293, 7323), as Linux sends them.
SEGMENT_HEADER_BYTES: Final = 52

#: Payload of a full segment on Ethernet: 1,500 − 52.
ETHERNET_MSS: Final = 1448


def websocket_header_bytes(payload_bytes: ArrayLike, *, masked: bool) -> NDArray[np.int64]:
    """Header of one WebSocket frame: 2, 4 or 10 bytes, and 4 more for the mask (RFC 6455 section 5.2).

    Parameters
    ----------
    payload_bytes : int or array
        Payload size in bytes. The header grows above 125 and again above 65,535.
    masked : bool
        Whether the frame is masked, as every frame from a client must be (RFC 6455 section 5.1).

    Returns
    -------
    int or array
        Bytes.

    Examples
    --------
    >>> websocket_header_bytes([125, 126, 65_535, 65_536], masked=False).tolist()
    [2, 4, 4, 10]
    """
    size = np.asarray(payload_bytes)
    header = np.where(size <= 125, 2, np.where(size <= 65_535, 4, 10))
    return header + (4 if masked else 0)


def chunk_overhead_bytes(chunk_bytes: ArrayLike) -> NDArray[np.int64]:
    """Framing of one HTTP/1.1 chunk: its size in hexadecimal and two CRLF (RFC 9112 section 7.1).

    Parameters
    ----------
    chunk_bytes : int or array
        Bytes in the chunk, at least 1.

    Returns
    -------
    int or array
        Bytes: 5 for chunks of up to 15 bytes, 6 up to 255, 7 up to 4,095, …

    Examples
    --------
    >>> chunk_overhead_bytes([15, 16, 255, 256, 4095]).tolist()
    [5, 6, 6, 7, 7]
    """
    # frexp gives the exact bit length; a logarithm would be subject to rounding.
    bits = np.frexp(np.asarray(chunk_bytes, float))[1].astype(np.int64)
    return (bits + 3) // 4 + 4


def sse_overhead_bytes(
    payload_bytes: ArrayLike, *, event_bytes: int = 0, id_bytes: int = 0, chunked: bool = True
) -> NDArray[np.int64]:
    """Bytes that an event stream adds to a payload of one line.

    ``data: `` and two line feeds are 8 bytes; an ``event: `` line is 8 bytes plus its value, an ``id: ``
    line 5 bytes plus its value (HTML Living Standard, server-sent events). Chunk framing is added to that.

    Parameters
    ----------
    payload_bytes : int or array
        Bytes after ``data: ``, without line feeds.
    event_bytes, id_bytes : int
        Bytes of the event's name and of its id; 0 means that the line is absent.
    chunked : bool
        Whether to count HTTP/1.1 chunk framing, with one event per chunk.

    Returns
    -------
    int or array
        Bytes beyond the payload.

    Examples
    --------
    >>> int(sse_overhead_bytes(100, chunked=False)), int(sse_overhead_bytes(100))
    (8, 14)
    """
    lines = 8 + (8 + event_bytes if event_bytes else 0) + (5 + id_bytes if id_bytes else 0)
    size = np.asarray(payload_bytes, np.int64)
    return lines + (chunk_overhead_bytes(size + lines) if chunked else np.zeros_like(size))


def http_head_bytes(start_line: str, headers: Iterable[tuple[str, str]]) -> int:
    """Bytes of an HTTP/1.1 request or response before its body (RFC 9112 section 2.1).

    Parameters
    ----------
    start_line : str
        ``"GET /poll HTTP/1.1"`` or ``"HTTP/1.1 200 OK"``.
    headers : iterable of (str, str)
        Names and values.

    Returns
    -------
    int
        Bytes, including the empty line that ends the head.

    Examples
    --------
    >>> http_head_bytes("GET / HTTP/1.1", [("Host", "a")])
    27
    """
    lines = [start_line, *(f"{name}: {value}" for name, value in headers)]
    return sum(len(line.encode("latin-1")) + 2 for line in lines) + 2


def segments(stream_bytes: ArrayLike, *, mss: int = ETHERNET_MSS) -> NDArray[np.int64]:
    """Number of TCP segments that carry the bytes of one write: ⌈bytes / MSS⌉.

    Parameters
    ----------
    stream_bytes : int or array
        Bytes passed to the socket in one write.
    mss : int
        Payload bytes of a full segment.

    Returns
    -------
    int or array
        Data segments; pure acknowledgements are not counted.
    """
    return -(-np.asarray(stream_bytes, np.int64) // mss)


def wire_bytes(stream_bytes: ArrayLike, segment_count: ArrayLike | None = None) -> NDArray[np.int64]:
    """Bytes on the wire: those written to the sockets, and 52 for each segment.

    State this model beside its result: it leaves out retransmissions, the TCP handshake and the link
    layer. Pure acknowledgements count only if the caller includes them in `segment_count`.

    Parameters
    ----------
    stream_bytes : int or array
        Bytes written to the sockets.
    segment_count : int, array or None
        Segments in both directions. None: as many as `segments` gives for a single write.

    Returns
    -------
    int or array
        Bytes.

    Examples
    --------
    The well-known comparison of 871 bytes of HTTP headers with a frame header of 2 bytes (Kaazing, 2010)
    leaves out TCP/IP. With 3 segments and 2 segments respectively the ratio is 10, not 435:

    >>> int(wire_bytes(871, 3)), int(wire_bytes(2, 2))
    (1027, 106)
    """
    stream = np.asarray(stream_bytes, np.int64)
    count = segments(stream) if segment_count is None else np.asarray(segment_count, np.int64)
    return stream + SEGMENT_HEADER_BYTES * count
