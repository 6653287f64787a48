"""`MemoryTransport`: a client transport in memory, for tests that need no socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rtlab.errors import ConnectFailed, TransportClosed
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.protocol.urls import Origin

__all__ = ["MemoryTransport"]


class MemoryTransport:
    """A transport whose other end is the test.

    Parameters
    ----------
    welcome : Message, optional
        The message that `open` returns; None, as with a server that is not rtlab's.
    fail : Exception, optional
        The exception that `open` raises; None: it succeeds.
    gate : asyncio.Event, optional
        The event that `open` waits for first; None: it does not wait.
    on_send : callable, optional
        Called with each message that the client sends.

    Examples
    --------
    >>> transport = MemoryTransport()
    >>> transport.push(Message("chat", "hi"))
    """

    def __init__(
        self,
        *,
        welcome: Message | None = None,
        fail: Exception | None = None,
        gate: asyncio.Event | None = None,
        on_send: Callable[[Message], object] | None = None,
    ) -> None:
        self.name = "memory"
        self.confirms = False
        self.cursor: str | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.heard = time.monotonic()
        self.server_origin: Origin | None = None
        self.max_message_bytes = MAX_MESSAGE_BYTES
        self.resume: Resume | None = None
        self.sent: list[Message] = []
        self.closed_with: int | None = None
        self.aborted = False
        self.deaf = False
        self._welcome = welcome
        self._fail = fail
        self._gate = gate
        self._on_send = on_send
        self._arrived: asyncio.Queue[Message | Exception] = asyncio.Queue()

    # The test's end

    def push(self, message: Message | Exception) -> None:
        """Let the client receive a message, or see an error."""
        self._arrived.put_nowait(message)

    def drop(self, code: int = 1006, reason: str = "", *, clean: bool = False) -> None:
        """End the connection after everything pushed before has been received."""
        self.push(TransportClosed(code, reason, clean=clean))

    # The client's end

    async def open(self, resume: Resume) -> Message | None:
        """Wait for the gate, then raise ``fail`` or return ``welcome``."""
        self.resume = resume
        if self._gate is not None:
            await self._gate.wait()
        if self._fail is not None:
            raise self._fail
        if self.aborted:
            raise ConnectFailed("aborted")
        return self._welcome

    async def receive(self, take: object = None) -> Message:
        """Return the next message that the test pushed, or raise the pushed error."""
        item = await self._arrived.get()
        if isinstance(item, Exception):
            raise item
        self.bytes_in += len(JSON.encode(item))
        self.heard = time.monotonic()
        return item

    async def send(self, message: Message) -> None:
        """Keep the message in `sent`."""
        if self.aborted:
            raise TransportClosed(1006, "aborted")
        self.bytes_out += len(JSON.encode(message, self.max_message_bytes))
        self.sent.append(message)
        if self._on_send is not None:
            self._on_send(message)

    @property
    def buffered_bytes(self) -> int:
        """Always 0: nothing is buffered."""
        return 0

    async def ping(self) -> float:
        """Return a round trip of 0 s; never return once `deaf` is set."""
        if self.deaf:
            await asyncio.Event().wait()
        return 0.0

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection cleanly."""
        self.closed_with = code
        self.drop(code, reason, clean=True)

    def abort(self) -> None:
        """Drop the connection; `open` and `send` then fail."""
        self.aborted = True
