"""Parses the captured bytes of a connection, and sums them by purpose: HTTP heads, framing, messages.

A parser of HTTP/1.1 (RFC 9112), WebSocket (RFC 6455) and event streams. It is small because it only
sees traffic of rtlab's own server and clients. It shares no code with them but the layout of a frame
header and the JSON parser.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.http1_message_parser import Head, NotHttp, parse_head, take_body
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.websocket_framing import read_header

__all__ = ["CapturedFrame", "Split", "frames", "split_traffic"]


class _PollBody(msgspec.Struct):
    messages: list[msgspec.Raw]


class Split(msgspec.Struct):
    """The bytes of one direction of a connection, by purpose.

    Parameters
    ----------
    messages : int
        Number of messages found.
    payload_bytes : int
        Bytes of the messages themselves.
    framing_bytes : int
        Bytes that carry them: WebSocket headers and control frames, chunk sizes,
        event fields, JSON around them, response bodies of HTTP posts.
    http_bytes : int
        Bytes of the heads of HTTP requests or responses.
    open_bytes : int
        Bytes of a last frame, event, head or body that is incomplete.
    """

    messages: int = 0
    payload_bytes: int = 0
    framing_bytes: int = 0
    http_bytes: int = 0
    open_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Sum of all bytes."""
        return self.payload_bytes + self.framing_bytes + self.http_bytes + self.open_bytes

    def add(self, other: Split, sign: int = 1) -> None:
        """Add another split's numbers to these; subtract them with a `sign` of -1."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))

    def carry(self, messages: list[int], total: int) -> None:
        """Count messages of these sizes as payload, and the rest of `total` bytes as framing."""
        self.messages += len(messages)
        self.payload_bytes += sum(messages)
        self.framing_bytes += total - sum(messages)


class CapturedFrame(NamedTuple):
    """One WebSocket frame (RFC 6455 §5.2).

    Parameters
    ----------
    start, header_bytes, length : int
        Offset of its first byte, and the sizes of its header and payload, in bytes.
    opcode : int
        1 text, 2 binary, 8 close, 9 ping, 10 pong, 0 a continuation.
    fin, masked : bool
        Whether the frame ends a message, and whether its payload is masked.
    """

    start: int
    header_bytes: int
    length: int
    opcode: int
    fin: bool
    masked: bool

    @property
    def end(self) -> int:
        """Offset of the next frame."""
        return self.start + self.header_bytes + self.length


def frames(data: bytes, start: int = 0) -> list[CapturedFrame]:
    """Find all complete WebSocket frames.

    Parameters
    ----------
    data : bytes
        Bytes after the handshake.
    start : int
        Offset of the first frame.

    Returns
    -------
    list of CapturedFrame

    Examples
    --------
    >>> [frame.length for frame in frames(bytes([0x81, 2]) + b"hi")]
    [2]
    """
    found: list[CapturedFrame] = []
    while (header := read_header(data, start)) is not None:
        size, length = header.size_bytes, header.payload_bytes
        frame = CapturedFrame(start, size, length, header.opcode, header.fin, header.masked)
        if frame.end > len(data):
            break
        found.append(frame)
        start = frame.end
    return found


def split_traffic(up: bytes, down: bytes) -> tuple[Split, Split]:
    """Split the bytes of one connection by purpose.

    Parameters
    ----------
    up, down : bytes
        All bytes that the client sent on the connection, and all that the server sent.

    Returns
    -------
    up, down : Split
        The total of each is the number of bytes of its direction.

    Raises
    ------
    MessageError
        If the bytes are not HTTP/1.x, such as those of a connection with TLS.
    """
    try:
        return _split_traffic(up, down)
    except NotHttp as error:
        raise MessageError(f"expected HTTP/1.x, got {error}") from None


def _split_traffic(up: bytes, down: bytes) -> tuple[Split, Split]:
    splits = Split(), Split()
    asked: list[Head] = []
    at = 0
    while (head := parse_head(up, at)) is not None:
        body_at = at + head.size
        body, end, whole = take_body(up, body_at, head)
        if not whole:
            break
        asked.append(head)
        splits[0].http_bytes += head.size
        _posted(splits[0], _path(head), body, end - body_at)
        at = end
        if head.get(b"upgrade"):
            break
    switched = _answers(splits[1], asked, down)
    if switched is None:
        splits[0].open_bytes += len(up) - at
    else:
        _websocket(splits[0], up[at:])
        _websocket(splits[1], down[switched:])
    return splits


def _path(request: Head) -> bytes:
    return request.path.partition(b"?")[0]


def _answers(split: Split, asked: list[Head], down: bytes) -> int | None:
    """Split the responses; return the offset of the first WebSocket frame, None without an upgrade."""
    at = 0
    for request in asked:
        head = parse_head(down, at, response=True)
        while head is not None and head.status < 200 and head.status != 101:
            split.http_bytes += head.size  # an interim response comes before the final one (RFC 9110 §15.2)
            at += head.size
            head = parse_head(down, at, response=True)
        if head is None:
            break
        split.http_bytes += head.size
        at += head.size
        if head.status == 101:
            return at
        body, end, whole = take_body(down, at, head, no_body=request.method == b"HEAD")
        size, at = end - at, end
        if b"text/event-stream" in head.get(b"content-type"):
            unfinished = len(body) - (body.rfind(b"\n\n") + 2 if b"\n\n" in body else 0)
            split.carry(_events(body[: len(body) - unfinished]), size - unfinished)
            split.open_bytes += unfinished
        elif not whole:
            split.open_bytes += size
        elif _path(request).endswith(b"/poll") and head.status == 200 and body:
            split.carry([len(bytes(raw)) for raw in parse_json(body, _PollBody).messages], size)
        else:
            split.framing_bytes += size
    split.open_bytes += len(down) - at
    return None


def _posted(split: Split, path: bytes, body: bytes, size: int) -> None:
    if not path.endswith(b"/send"):
        split.framing_bytes += size
    elif body.startswith(b"["):
        split.carry([len(bytes(raw)) for raw in parse_json(body, list[msgspec.Raw])], size)
    else:
        split.carry([len(body)], size)


def _events(body: bytes) -> list[int]:
    """Return the sizes of the ``data`` fields' values; rtlab's server puts each message on one line."""
    lines = body.split(b"\n")
    return [len(line) - len(b"data: ") for line in lines if line.startswith(b"data: ")]


def _websocket(split: Split, data: bytes) -> None:
    at = 0
    for frame in frames(data):
        is_message = frame.opcode in (0, 1, 2)
        split.messages += int(is_message and frame.fin)
        split.payload_bytes += frame.length if is_message else 0
        split.framing_bytes += frame.header_bytes + (0 if is_message else frame.length)
        at = frame.end
    split.open_bytes += len(data) - at
