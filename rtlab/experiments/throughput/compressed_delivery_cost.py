"""Cost of compression for each delivery to a room: CPU time of the server, and bytes on the wire.

The readers are raw sockets that count frames and bytes but decompress nothing. The caller chooses the
extension that they offer, so one server can have compressed and plain connections side by side.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from rtlab.errors import LabError
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.protocol.message_format import Message
from rtlab.protocol.permessage_deflate import Deflate
from rtlab.protocol.websocket_framing import TEXT, read_header, websocket_frame

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["FanOutCost", "RoomReaders", "connect_readers", "offer_of"]

_TIMEOUT: Final = 30.0

#: Seconds without a frame after which all presence updates are taken to have arrived.
_QUIET: Final = 0.25


class FanOutCost(NamedTuple):
    """The cost of delivering messages to the readers of a room.

    Parameters
    ----------
    deliveries : int
        Number of messages × number of readers.
    server_us : float
        CPU time of the server for each delivery in µs, including the receipt of published messages.
    wire_bytes : float
        Mean size of a delivered frame in bytes, header included.
    """

    deliveries: int
    server_us: float
    wire_bytes: float


def offer_of(deflate: Deflate | None) -> str:
    """Return a reader's value of ``Sec-WebSocket-Extensions``; empty for no compression.

    Examples
    --------
    >>> offer_of(Deflate(server_max_window_bits=9))
    'permessage-deflate; server_max_window_bits=9'
    """
    if deflate is None:
        return ""
    # Level and memory level are the sender's own choice; they are not negotiated.
    wire = msgspec.structs.replace(deflate, level=Deflate().level, memory_level=Deflate().memory_level)
    return "; ".join(filter(None, ("permessage-deflate", str(wire))))


def _masked(text: bytes) -> bytes:
    """Make a client's frame with a masking key of zeros (RFC 6455 §5.3), which leaves the text unchanged."""
    frame = bytearray(websocket_frame(TEXT, text))
    frame[1] |= 0x80
    header = len(frame) - len(text)
    return bytes(frame[:header]) + bytes(4) + text


class _Reader(asyncio.Protocol):
    """One reader's connection: upgrades, joins the room, and counts the frames after that."""

    def __init__(self, readers: RoomReaders, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        # Set by the acknowledgement of its join, and by the presence update that follows.
        self.ready: asyncio.Future[None] = loop.create_future()
        self.told: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        self.answer = b""
        self._readers = readers
        self._request = request
        self._buffer = b""
        self._frames = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        if not self.answer:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            self.answer = head
            if not head.startswith(b"HTTP/1.1 101 "):
                self._fail(f"expected HTTP/1.1 101, got {head[:60]!r}")
                return
            join = {"type": "join_room", "payload": {"roomId": self._readers.room}, "id": "j"}
            self.say(msgspec.json.encode(join))
        at = 0
        while (header := read_header(buffer, at)) is not None:
            size = header.size_bytes + header.payload_bytes
            if len(buffer) - at < size:
                break
            at += size
            if header.opcode < 8:
                self._frame(size)
        self._buffer = buffer[at:]

    def _frame(self, size: int) -> None:
        self._frames += 1  # welcome, ack and users_update; then the counted messages
        if self._frames in (2, 3):
            waiter = self.ready if self._frames == 2 else self.told
            if not waiter.done():
                waiter.set_result(None)
        self._readers.heard(size)

    def say(self, text: bytes) -> None:
        assert self.transport is not None
        self.transport.write(_masked(text))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the connection")

    def _fail(self, reason: str) -> None:
        for waiter in (self.ready, self.told):
            if not waiter.done():
                waiter.set_exception(LabError(reason))
                waiter.exception()  # marks it as retrieved: nobody may await it
        self._readers.lost(reason)


class RoomReaders:
    """The readers in one room of a server. Use `connect_readers` to make one.

    Parameters
    ----------
    lab : Lab
        The lab whose server is measured.
    room : str
        The room's name.

    Attributes
    ----------
    frames, bytes : int
        Frames and bytes that all readers together have received since the last `grow`, headers included.
    agreed : str
        ``Sec-WebSocket-Extensions`` from the server's answer.
    """

    def __init__(self, lab: Lab, room: str) -> None:
        self.room = room
        self.frames = self.bytes = 0
        self.agreed = ""
        self._lab = lab
        self._pid: int = lab.pids[0]
        self._members: list[_Reader] = []
        self._reading = self._want = 0
        self._all_heard: asyncio.Future[None] | None = None

    async def grow(self, count: int, offer: str) -> None:
        """Connect `count` more readers, each of which offers the extension `offer`."""
        parts = urlsplit(self._lab.ws_url)
        host, port = parts.hostname, parts.port
        assert host is not None
        assert port is not None
        lines = [
            # All readers are one user, so that presence updates do not add a second fan-out.
            f"GET {parts.path}?user=reader HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *([f"Sec-WebSocket-Extensions: {offer}"] if offer else []),
        ]
        request = "\r\n".join([*lines, "", ""]).encode()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_TIMEOUT):
            for _ in range(count):
                _, reader = await loop.create_connection(partial(_Reader, self, request), host, port)
                self._members.append(reader)
                await reader.ready
            await self._members[-1].told
            # All readers get a presence update about the last one, in any order: wait until they have.
            heard = -1
            while heard != self.frames:
                heard = self.frames
                await asyncio.sleep(_QUIET)
        self.frames = self.bytes = 0
        self._reading = len(self._members)
        headers = [line.partition(b":") for line in self._members[-1].answer.split(b"\r\n")]
        self.agreed = "".join(
            value.strip().decode() for name, _, value in headers if name == b"Sec-WebSocket-Extensions"
        )

    def heard(self, size: int) -> None:
        self.frames += 1
        self.bytes += size
        waiter = self._all_heard
        # The future is already done if the publisher was cancelled.
        if waiter is not None and self.frames == self._want and not waiter.done():
            waiter.set_result(None)

    def lost(self, reason: str) -> None:
        if self._all_heard is not None and not self._all_heard.done():
            self._all_heard.set_exception(LabError(reason))

    async def publish(self, messages: Sequence[Message], at_once: int = 8) -> FanOutCost:
        """Let the first reader publish messages; return when every reader has received all of them.

        Parameters
        ----------
        messages : sequence of Message
            Messages to publish. Only type and payload are used; they are sent to the readers' own room.
        at_once : int
            Number of messages in flight at the same time.

        Raises
        ------
        LabError
            When a connection was closed.
        TimeoutError
            When the messages do not arrive in time.
        """
        texts = [
            msgspec.json.encode({"type": m.type, "roomId": self.room, "payload": m.payload}) for m in messages
        ]
        frames, wire, before = self.frames, self.bytes, cpu_seconds(self._pid)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_TIMEOUT):
            for start in range(0, len(texts), at_once):
                burst = texts[start : start + at_once]
                self._want = self.frames + len(burst) * self._reading
                self._all_heard = loop.create_future()
                for text in burst:
                    self._members[0].say(text)
                await self._all_heard
        deliveries = self.frames - frames
        spent = cpu_seconds(self._pid) - before
        return FanOutCost(deliveries, 1e6 * spent / deliveries, (self.bytes - wire) / deliveries)

    def pause(self) -> None:
        """Stop reading for good, like slow consumers, on every connection except the publisher's."""
        self._reading = 1
        for member in self._members[1:]:
            if member.transport is not None:
                member.transport.pause_reading()

    def leave(self) -> None:
        """Abort every connection."""
        self._all_heard = None
        for member in self._members:
            if member.transport is not None:
                member.transport.abort()


@asynccontextmanager
async def connect_readers(
    lab: Lab, room: str, count: int, deflate: Deflate | None
) -> AsyncGenerator[RoomReaders]:
    """Keep readers connected to a room for the duration of the ``async with`` block.

    Parameters
    ----------
    lab : Lab
        A lab with ``compression``, so that its server accepts what the readers offer.
    room : str
        A room that nobody else uses.
    count : int
        Number of readers.
    deflate : Deflate or None
        Compression that the readers offer; None for plain frames.

    Examples
    --------
    ::

        async with connect_readers(lab, "r", 40, Deflate(server_no_context_takeover=True)) as readers:
            print(await readers.publish(load_feed("football")))
    """
    readers = RoomReaders(lab, room)
    try:
        await readers.grow(count, offer_of(deflate))
        yield readers
    finally:
        readers.leave()
        await asyncio.sleep(0)  # aborted sockets close in the event loop's next turn
