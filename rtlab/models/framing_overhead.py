"""What a message weighs on the wire beyond its payload, in bytes.

Sizes are exact where a standard fixes them (RFC 6455, HTTP/1.1 chunking), and an explicit
model where it does not (TCP/IP segments). All size arguments take numbers or arrays.
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
        Bytes of payload: up to 125, up to 65,535, or more.
    masked : bool
        True for frames from the client.

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
        Bytes: 5 up to 15, 6 up to 255, 7 up to 4,095, …

    Examples
    --------
    >>> chunk_overhead_bytes([15, 16, 255, 256, 4095]).tolist()
    [5, 6, 6, 7, 7]
    """
    # frexp gives the bit length exactly, where a logarithm would round.
    bits = np.frexp(np.asarray(chunk_bytes, float))[1].astype(np.int64)
    return (bits + 3) // 4 + 4


def sse_overhead_bytes(
    payload_bytes: ArrayLike, *, event_bytes: int = 0, id_bytes: int = 0, chunked: bool = True
) -> NDArray[np.int64]:
    """What an event stream adds to one single-line payload.

    ``data: `` and two line feeds are 8 bytes, an ``event: `` line 8 and its value, an ``id: ``
    line 5 and its value (HTML Living Standard, server-sent events); the chunk comes on top.

    Parameters
    ----------
    payload_bytes : int or array
        Bytes after ``data: ``, without line feeds.
    event_bytes, id_bytes : int
        Bytes of the event's name and of its id; 0 for no such line.
    chunked : bool
        Whether HTTP/1.1 chunking is counted, with one event a chunk.

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
        Bytes, with the empty line that ends the head.

    Examples
    --------
    >>> http_head_bytes("GET / HTTP/1.1", [("Host", "a")])
    27
    """
    lines = [start_line, *(f"{name}: {value}" for name, value in headers)]
    return sum(len(line.encode("latin-1")) + 2 for line in lines) + 2


def segments(stream_bytes: ArrayLike, *, mss: int = ETHERNET_MSS) -> NDArray[np.int64]:
    """TCP segments that carry so many bytes written at once: ⌈bytes / MSS⌉.

    Parameters
    ----------
    stream_bytes : int or array
        Bytes given to the socket in one write.
    mss : int
        Payload bytes of a full segment.

    Returns
    -------
    int or array
        Segments, without acknowledgements that travel alone.
    """
    return -(-np.asarray(stream_bytes, np.int64) // mss)


def wire_bytes(stream_bytes: ArrayLike, segment_count: ArrayLike | None = None) -> NDArray[np.int64]:
    """Bytes on the wire: those given to the sockets, and 52 for each segment.

    A model, to be stated beside its result: it leaves out retransmissions, the handshake
    and the link layer, and the caller says how many bare acknowledgements there are.

    Parameters
    ----------
    stream_bytes : int or array
        Bytes given to the sockets.
    segment_count : int, array or None
        Segments in both directions; None: those of one write, `segments`.

    Returns
    -------
    int or array
        Bytes.

    Examples
    --------
    The famous 871 bytes of HTTP headers against a frame header of 2 (Kaazing, 2010) leave out
    TCP/IP. With 3 segments against 2 the ratio is 10, not 435:

    >>> int(wire_bytes(871, 3)), int(wire_bytes(2, 2))
    (1027, 106)
    """
    stream = np.asarray(stream_bytes, np.int64)
    count = segments(stream) if segment_count is None else np.asarray(segment_count, np.int64)
    return stream + SEGMENT_HEADER_BYTES * count
