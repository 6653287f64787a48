"""Readers of one room that only count frames: raw sockets under one epoll, so the server is the busy side.

Readers that cost more than the server's delivery would be the bottleneck. These take 2 to 3 µs per
delivery, in the caller's thread, with any server.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from rtlab.errors import LabError

__all__ = ["ROOM", "RTLAB", "CountingReaders", "Dialect", "counting_readers", "masked"]

#: The room that readers enter.
ROOM: Final = "throughput"

_TIMEOUT: Final = 60.0
#: Seconds without any data after which the readers count as settled.
_QUIET: Final = 0.3
_READ_BYTES: Final = 65_536


class Dialect(NamedTuple):
    """How a reader joins the room of a kind of server.

    Parameters
    ----------
    path : str
        Path of the upgrade request.
    opening : tuple of bytes
        Texts that a reader sends after the upgrade to join the room.
    answers : int
        Number of messages that the server sends until the reader has joined.
    """

    path: str
    opening: tuple[bytes, ...]
    answers: int


#: rtlab's server. All readers are one user; otherwise presence messages would be a second fan-out.
RTLAB: Final = Dialect(
    "/ws?user=reader", (b'{"type":"join_room","payload":{"roomId":"%b"},"id":"j"}' % ROOM.encode(),), 2
)


def masked(text: bytes) -> bytes:
    """Make a text frame with a mask of zeros (RFC 6455 §5.3), which leaves the text as it is.

    Examples
    --------
    >>> masked(b"hi")
    b'\\x81\\x82\\x00\\x00\\x00\\x00hi'
    """
    size = len(text)
    if size < 126:
        header = bytes((0x81, 0x80 | size))
    elif size < 65_536:
        header = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        header = b"\x81\xff" + size.to_bytes(8, "big")
    return header + bytes(4) + text


#: Most readers that are read between two checks of the last one, which paces `publish_on`.
_AT_ONCE: Final = 16


class _Reader:
    """One connection, whose frames and bytes are counted."""

    def __init__(self, connection: socket.socket, heard: bytes) -> None:
        self.socket = connection
        self.frames = self.bytes = 0
        self._rest = b""
        self._count(heard)

    def read(self) -> int:
        """Receive available data, and return how many messages were completed by it."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise LabError("the server closed a reader's connection")
        return self._count(data)

    def _count(self, data: bytes) -> int:
        self.bytes += len(data)
        if self._rest:
            data = self._rest + data
        # A server's frames have no mask: a header of 2, 4 or 10 bytes, then the payload (RFC 6455 §5.2).
        at, end, found = 0, len(data), 0
        while end - at >= 2:
            size = data[at + 1]
            start = at + 2
            if size == 126:
                start, size = at + 4, int.from_bytes(data[at + 2 : at + 4], "big")
            elif size == 127:
                start, size = at + 10, int.from_bytes(data[at + 2 : at + 10], "big")
            if start > end or start + size > end:
                break
            found += data[at] & 0x0F < 8
            at = start + size
        self._rest = data[at:]
        self.frames += found
        return found


class CountingReaders:
    """Readers in one room of one server, made by `counting_readers`.

    All methods block: call them in a thread of their own.

    Attributes
    ----------
    frames : int
        Messages that all readers together have received.
    """

    def __init__(self, url: str, dialect: Dialect, extensions: str = "") -> None:
        self._url = url
        self._dialect = dialect
        self._extensions = extensions
        self._readers: list[_Reader] = []
        self._by_fd: dict[int, _Reader] = {}
        self._epoll = select.epoll()
        self.frames = 0

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def bytes(self) -> int:
        """Bytes that all readers together have received, frame headers included."""
        return sum(reader.bytes for reader in self._readers)

    def grow(self, count: int) -> None:
        """Connect `count` more readers; return when each has joined the room and no more data arrives.

        Raises
        ------
        LabError
            If the server refused a reader.
        """
        parts = urlsplit(self._url)
        host, port = parts.hostname, parts.port
        assert host is not None
        assert port is not None
        for _ in range(count):
            reader = self._enter(host, port)
            self._readers.append(reader)
            self._by_fd[reader.socket.fileno()] = reader
            self._epoll.register(reader.socket, select.EPOLLIN)
        self.settle()

    def _enter(self, host: str, port: int) -> _Reader:
        connection = socket.create_connection((host, port), _TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {self._dialect.path} HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        if self._extensions:
            lines.append(f"Sec-WebSocket-Extensions: {self._extensions}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        heard = b""
        while b"\r\n\r\n" not in heard:
            if not (data := connection.recv(_READ_BYTES)):
                raise LabError("the server closed a reader's connection before its answer")
            heard += data
        head, _, heard = heard.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise LabError(f"expected HTTP/1.1 101, got {head[:60]!r}")
        for text in self._dialect.opening:
            connection.sendall(masked(text))
        reader = _Reader(connection, heard)
        while reader.frames < self._dialect.answers:
            reader.read()
        return reader

    def settle(self) -> None:
        """Read until no data has arrived for 0.3 s, and restart the counts from there."""
        while ready := self._epoll.poll(_QUIET):
            for fd, _ in ready:
                self._by_fd[fd].read()
        self.frames = 0
        for reader in self._readers:
            reader.frames = reader.bytes = 0

    def say(self, text: bytes, *, of: int = 0) -> None:
        """Send a text from reader number `of`."""
        self._readers[of].socket.sendall(masked(text))

    def publish(self, texts: Sequence[bytes], *, per_message: float = 1.0) -> None:
        """Send texts in one write, and return when every reader has received all of them.

        Parameters
        ----------
        texts : sequence of bytes
            Texts that the first reader sends.
        per_message : float
            Frames that each reader gets per text; less than 1 if the server batches.
        """
        target = self.frames + round(len(texts) * per_message) * len(self._readers)
        self._readers[0].socket.sendall(b"".join(map(masked, texts)))
        self.read_until(target)

    def publish_on(self, texts: Sequence[bytes], times: int, *, per_message: float = 1.0) -> None:
        """Publish repeatedly, each time as soon as the reader that joined last has the previous publish.

        The server writes to that reader last. The other readers read while the server is working: it would
        be idle if it waited for them. The data in flight is bounded, because before each publish every
        reader has received the last but one.

        Parameters
        ----------
        texts : sequence of bytes
            Texts that the first reader sends, in one write.
        times : int
            How often to publish.
        per_message : float
            Frames that each reader gets per text, as for `publish`.
        """
        last, per_reader = self._readers[-1], round(len(texts) * per_message)
        write = b"".join(map(masked, texts))
        begin, has, sent = self.frames, last.frames, 0
        by_fd, poll = self._by_fd, self._epoll.poll
        until = time.monotonic() + _TIMEOUT
        with select.epoll() as hurried:
            hurried.register(last.socket, select.EPOLLIN)
            while sent < times:
                known = self.frames - begin >= (sent - 1) * per_reader * len(self._readers)
                if known and last.frames - has >= sent * per_reader:
                    self._readers[0].socket.sendall(write)
                    sent += 1
                if hurried.poll(0):
                    self.frames += last.read()
                    continue
                ready = poll(1.0, _AT_ONCE)
                if not ready and time.monotonic() > until:
                    raise LabError(f"expected {sent} publishes to arrive, got {self.frames - begin:,} frames")
                for fd, _ in ready:
                    self.frames += by_fd[fd].read()
        self.read_until(begin + times * per_reader * len(self._readers))

    def read_until(self, frames: int) -> None:
        """Read until `frames` frames have arrived in all; raise `LabError` after a minute."""
        by_fd, poll = self._by_fd, self._epoll.poll
        until = time.monotonic() + _TIMEOUT
        while self.frames < frames:
            ready = poll(1.0)
            if not ready and time.monotonic() > until:
                raise LabError(f"expected {frames:,} frames, got {self.frames:,} in {_TIMEOUT:g} s")
            for fd, _ in ready:
                self.frames += by_fd[fd].read()

    def read_while(self, wanted: Callable[[], bool]) -> None:
        """Read all data that arrives, as long as `wanted` returns True."""
        while wanted():
            for fd, _ in self._epoll.poll(0.05):
                self.frames += self._by_fd[fd].read()

    def leave(self) -> None:
        """Close every connection."""
        self._epoll.close()
        for reader in self._readers:
            reader.socket.close()


@contextmanager
def counting_readers(
    url: str, count: int, dialect: Dialect = RTLAB, *, extensions: str = ""
) -> Generator[CountingReaders]:
    """Hold `count` readers inside the block.

    Parameters
    ----------
    url : str
        The server's base URL; the path is the dialect's.
    count : int
        Number of readers.
    dialect : Dialect
        How to join the room of this server.
    extensions : str
        Extensions that the readers offer in ``Sec-WebSocket-Extensions``; empty for none.

    Examples
    --------
    ::

        with counting_readers(lab.url, 500) as readers:
            readers.publish([b'{"type":"chat","roomId":"throughput","payload":1}'])
    """
    readers = CountingReaders(url, dialect, extensions)
    try:
        readers.grow(count)
        yield readers
    finally:
        readers.leave()
