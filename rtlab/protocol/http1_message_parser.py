"""The part of HTTP/1.1 (RFC 9112) that is needed to find where a message's head and body end."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Body", "Head", "NotHttp", "chunk_size", "parse_head", "take_body"]

MAX_HEAD_BYTES: Final = 64 * 1024
_REQUEST: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP/1\.[01]")
_RESPONSE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})( .*)?")


class NotHttp(Exception):
    """The bytes are not an HTTP/1.x message."""


class Head:
    """The start line and the fields of a message, in the order and spelling in which they were received.

    Parameters
    ----------
    start : bytes
        The request line or status line.
    fields : list of (bytes, bytes)
        The fields' names and values.
    size : int
        The size of the head in bytes, including the empty line.
    """

    def __init__(self, start: bytes, fields: list[tuple[bytes, bytes]], size: int) -> None:
        self.start = start
        self.fields = fields
        self.size = size

    @property
    def method(self) -> bytes:
        return self.start.split(b" ", 1)[0]

    @property
    def path(self) -> bytes:
        return self.start.split(b" ", 2)[1]

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        match = _RESPONSE.fullmatch(self.start)
        return int(match[1]) if match else 0

    def get(self, name: bytes) -> bytes:
        """Return all values of a field, joined by commas; empty without such a field."""
        name = name.lower()
        return b", ".join(v for n, v in self.fields if n.lower() == name)

    def tokens(self, name: bytes) -> list[bytes]:
        """Return a field's comma-separated words in lower case."""
        return [word for part in self.get(name).lower().split(b",") if (word := part.strip())]

    def without(self, *names: bytes) -> Head:
        drop = {name.lower() for name in names}
        return Head(self.start, [(n, v) for n, v in self.fields if n.lower() not in drop], 0)

    def encode(self) -> bytes:
        return b"\r\n".join([self.start, *(n + b": " + v for n, v in self.fields), b"", b""])


def parse_head(buffer: bytes, at: int = 0, *, response: bool = False) -> Head | None:
    """Return the head that begins at offset `at` of `buffer`; None while it is incomplete.

    Raises
    ------
    NotHttp
        The bytes cannot be the beginning of a head.
    """
    if at:
        buffer = buffer[at : at + MAX_HEAD_BYTES + 4]
    end = buffer.find(b"\r\n\r\n")
    line, newline, _ = buffer.partition(b"\r\n")
    pattern = _RESPONSE if response else _REQUEST
    if newline and not pattern.fullmatch(line):
        raise NotHttp(line[:80])
    if len(buffer) > MAX_HEAD_BYTES and (end < 0 or end > MAX_HEAD_BYTES):
        raise NotHttp(f"a head of more than {MAX_HEAD_BYTES} bytes")
    if not newline and buffer and not buffer[:1].isalnum():
        raise NotHttp(bytes(buffer[:80]))
    if end < 0:
        return None
    start, *lines = bytes(buffer[:end]).split(b"\r\n")
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise NotHttp(line[:80])
        fields.append((name, value.strip(b" \t")))
    return Head(start, fields, end + 4)


class Body:
    """Finds the content and the end of a body that arrives in pieces of any size.

    Parameters
    ----------
    head : Head
        The head of the message.
    no_body : bool
        Whether the message is the response to a HEAD request, which has no body.
    """

    def __init__(self, head: Head, *, no_body: bool = False) -> None:
        self.done = False
        self.chunked = b"chunked" in head.tokens(b"transfer-encoding")
        self._left = 0  # bytes of content, or of the chunk, still to come
        self._until_close = False
        self._state = "size"
        self._line: bytes = b""
        length = head.get(b"content-length")
        response = head.status != 0
        if no_body or (response and (head.status < 200 or head.status in (204, 304))):
            self.done = True
        elif self.chunked:
            pass
        elif length:
            first = length.split(b",")[0].strip()
            if not re.fullmatch(rb"[0-9]{1,18}", first):
                raise NotHttp(length[:80])
            self._left = int(first)
            self.done = self._left == 0
        elif response:
            self._until_close = True
        else:
            self.done = True

    @classmethod
    def under_way(cls, opening: bytes, total: int) -> Body | None:
        """Return the unfinished body of a connection's first response; None if there is none.

        Parameters
        ----------
        opening : bytes
            The connection's first bytes from the server.
        total : int
            How many bytes have passed so far. If `opening` does not hold them all, a
            chunked body is assumed to be at the beginning of a chunk, because servers
            pause there.
        """
        head = parse_head(opening, response=True)
        if head is None:
            return None
        body = cls(head)
        if total <= len(opening):
            body.feed(opening[head.size :])
        elif not body.chunked and not body._until_close:
            body._left = max(0, body._left - (total - head.size))
            body.done = body._left == 0
        return None if body.done else body

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Process raw bytes; return the content in them, and the bytes behind the end of the body."""
        if self.done:
            return b"", data
        if self._until_close:
            return data, b""
        if not self.chunked:
            content, rest = data[: self._left], data[self._left :]
            self._left -= len(content)
            self.done = self._left == 0
            return content, rest
        return self._feed_chunked(data)

    def _feed_chunked(self, data: bytes) -> tuple[bytes, bytes]:
        content: list[bytes] = []
        data = self._line + data
        self._line = b""
        while data and not self.done:
            if self._state == "data":
                piece = data[: self._left]
                content.append(piece)
                self._left -= len(piece)
                data = data[len(piece) :]
                if not self._left:
                    self._state = "end of chunk"
                continue
            line, newline, rest = data.partition(b"\n")
            if not newline:
                if len(data) > MAX_HEAD_BYTES:
                    raise NotHttp("an endless line")
                self._line = data
                return b"".join(content), b""
            line, data = line.rstrip(b"\r"), rest
            if self._state == "end of chunk":
                self._state = "size"
            elif self._state == "trailer":
                self.done = not line
            else:
                self._left = chunk_size(line)
                self._state = "data" if self._left else "trailer"
        return b"".join(content), data


def chunk_size(line: bytes) -> int:
    """Return the size of a chunk, from its first line; its extensions are ignored (RFC 9112 §7.1.1).

    Raises
    ------
    NotHttp
        The line does not begin with a size in hexadecimal.
    """
    size = line.split(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
        raise NotHttp(line[:80])
    return int(size, 16)


def take_body(data: bytes, at: int, head: Head, *, no_body: bool = False) -> tuple[bytes, int, bool]:
    """Read a body out of bytes that have all been received.

    Parameters
    ----------
    data : bytes
        The bytes that one side of a connection sent.
    at : int
        The offset at which the body begins.
    head : Head
        The head of the message.
    no_body : bool
        Whether the message is the response to a HEAD request, which has no body.

    Returns
    -------
    content : bytes
        The content, without its transfer coding.
    end : int
        The offset behind the body, or behind `data` if the body is incomplete.
    done : bool
        Whether the body is complete.
    """
    body, content = Body(head, no_body=no_body), bytearray()
    while not body.done and at < len(data):
        piece = data[at : at + MAX_HEAD_BYTES]  # not all at once: that would copy the rest for every message
        got, rest = body.feed(piece)
        content += got
        at += len(piece) - len(rest)
    return bytes(content), at, body.done
