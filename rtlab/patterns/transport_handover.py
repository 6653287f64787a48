"""Moves a session to another transport in mid-stream: no message is lost, duplicated or reordered.

The server numbers the messages of a session. So the next transport asks for those after
the last message that was handled, and the connection discards as many duplicates as it
had received beyond that. New messages of the client wait until the last write over the
former transport is done.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial

from rtlab.client.transports.transport_interface import DeliverDirectly, Transport
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.protocol.message_format import Message, fields_of
from rtlab.protocol.resume_fields import Resume
from rtlab.protocol.urls import Origin

__all__ = ["Handover"]


class Handover:
    """Presents a succession of transports to the connection above as a single transport.

    Parameters
    ----------
    name : str
        The first value of ``name``, which is later that of the transport in use.
    patience : float
        Seconds that pending writes may take to finish when another transport takes over.
    """

    def __init__(self, name: str, *, patience: float) -> None:
        self.name = name
        self._patience = patience
        self._active: Transport | None = None
        self._former_bytes = (0, 0)
        # Writes
        self._turn = asyncio.Lock()  # it is fair: senders that wait during a handover keep their order
        self._writing = 0
        self._idle = asyncio.Event()
        # While the next transport opens with the same session, the server may close the present one
        self._opening: asyncio.Event | None = None
        self._disturbed: Transport | None = None
        self._moved_at = -math.inf

    # Properties of the transport in use

    @property
    def active(self) -> Transport:
        """The transport in use."""
        if self._active is None:
            raise TransportClosed(1006, "no transport is open")
        return self._active

    @property
    def confirms(self) -> bool:
        """Whether the transport in use confirms messages to the server by returning them."""
        return self._active is not None and self._active.confirms

    @property
    def cursor(self) -> str | None:
        """The token that came with the last message of the transport in use; None without one."""
        return self._active.cursor if self._active is not None else None

    @property
    def bytes_in(self) -> int:
        """Encoded bytes received, over all transports so far."""
        return self._former_bytes[0] + (self._active.bytes_in if self._active is not None else 0)

    @property
    def bytes_out(self) -> int:
        """Encoded bytes sent, over all transports so far."""
        return self._former_bytes[1] + (self._active.bytes_out if self._active is not None else 0)

    @property
    def heard(self) -> float:
        """When the transport in use last received anything, in `time.monotonic` seconds."""
        return self._active.heard if self._active is not None else 0.0

    @property
    def buffered_bytes(self) -> int:
        """Bytes that the transport in use has not written yet."""
        return self._active.buffered_bytes if self._active is not None else 0

    @property
    def server_origin(self) -> Origin | None:
        """The origin of the server that answered the transport in use."""
        return self._active.server_origin if self._active is not None else None

    @property
    def codec(self) -> Codec:
        """The codec of the transport in use; JSON if it names none."""
        return getattr(self.active, "codec", JSON)

    @property
    def max_message_bytes(self) -> int:
        """The largest message that the transport in use can send."""
        return self.active.max_message_bytes

    @max_message_bytes.setter
    def max_message_bytes(self, limit: int) -> None:
        self.active.max_message_bytes = limit

    # Handovers

    def begin(self, name: str, transport: Transport) -> None:
        """Use a transport that is already open as the first one."""
        self.name, self._active = name, transport

    async def take_over(
        self,
        name: str,
        transport: Transport,
        resume: Resume,
        deadline: float,
        moved: Callable[[Message], object],
    ) -> None:
        """Open another transport with the session, and continue over it.

        When that fails, the present transport stays in use. If the server has closed it
        meanwhile, the connection is lost, and its ordinary reconnect loses no message.

        Parameters
        ----------
        name : str
            Name of the next transport.
        transport : Transport
            Not open yet.
        resume : Resume
            The session, and the position in it from which to resume.
        deadline : float
            Seconds within which the server must have resumed the session.
        moved : callable
            Called with the ``welcome`` message, in the iteration of the event loop in
            which the next transport takes over.

        Raises
        ------
        ConnectFailed, TransportClosed, MessageError, TimeoutError
            The next transport could not resume the session.
        """
        former = self.active
        opened = self._opening = asyncio.Event()
        self._disturbed = former
        try:
            async with asyncio.timeout(deadline):
                welcome = await transport.open(resume)
            if welcome is None or fields_of(welcome.payload).get("resumed") is not True:
                raise ConnectFailed("another server answered, or it has forgotten the session")
        except BaseException:
            transport.abort()
            self._opening = None
            opened.set()
            raise
        try:
            async with self._turn:
                self._former_bytes = self.bytes_in, self.bytes_out
                self.name, self._active = name, transport
                self._moved_at = asyncio.get_running_loop().time()
                self._opening = None
                opened.set()
                moved(welcome)
                await self._until_written()
        finally:
            former.abort()

    async def _until_written(self) -> None:
        """Wait for pending writes over the former transport: a POST in flight must not be aborted."""
        self._idle.clear()
        try:
            async with asyncio.timeout(self._patience):
                while self._writing:
                    await self._idle.wait()
        except TimeoutError:
            pass  # their senders get an error: the message may not have arrived

    # The interface of a transport

    async def receive(self, take: DeliverDirectly | None = None) -> Message:
        """Return the next message, across handovers.

        Parameters
        ----------
        take : callable, optional
            Offered the messages that arrive meanwhile: see `Transport.receive`.

        Raises
        ------
        TransportClosed
            The transport in use was closed.
        MessageError
            For one frame that cannot be read.
        """
        while True:
            transport = self.active
            if self._opening is not None and transport.confirms:
                # Another poll would reclaim the session from the transport that opens with it.
                await self._opening.wait()
                transport = self.active
            try:
                message = await transport.receive(take and partial(self._offer, take, transport))
            except MessageError:
                if transport is self._active:
                    raise
            except TransportClosed as error:
                if self._opening is not None:
                    await self._opening.wait()  # bounded by `deadline` of `take_over`
                if transport is self._active:
                    raise self._not_for_good(transport, error) from error
            else:
                if transport is self._active:
                    return message
            # Discarded: the server repeats over the present transport what the former still had.

    def _offer(self, take: DeliverDirectly, transport: Transport, message: Message) -> bool:
        return transport is self._active and take(message)

    def _not_for_good(self, transport: Transport, error: TransportClosed) -> TransportClosed:
        """Return the error, changed to one that allows a reconnect if a handover may be its cause.

        The server keeps one connection per session, and closes the replaced one with 4500,
        which otherwise means: do not reconnect.
        """
        just_moved = asyncio.get_running_loop().time() < self._moved_at + self._patience
        if error.clean or not (transport is self._disturbed or (just_moved and error.code == 4500)):
            return error
        return TransportClosed(1006, f"lost in a move between transports: {error.reason}", reconnect=True)

    async def send(self, message: Message) -> None:
        """Send over the transport in use."""
        async with self._turn:
            transport = self.active
            self._writing += 1
        try:
            await transport.send(message)
        finally:
            self._writing -= 1
            if not self._writing:
                self._idle.set()

    async def ping(self) -> float:
        """Return the round-trip time over the transport in use, in seconds."""
        while True:
            transport = self.active
            try:
                return await transport.ping()
            except TransportClosed:
                if transport is self._active:
                    raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the transport in use."""
        await self.active.close(code, reason)

    def abort(self) -> None:
        """Drop the transport in use."""
        if self._active is not None:
            self._active.abort()
