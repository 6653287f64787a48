"""Going on over another transport in the middle of a stream: nothing lost, nothing twice, nothing overtaken.

The server numbers what it sends to a session, so the next transport asks for what
comes after the last message that was handled, and the connection drops as many
repeats as it had received beyond that. What the client sends waits until the last
write over the former transport is done.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial

from rtlab.client.transports.base import Take, Transport
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.codecs import JSON, Codec
from rtlab.protocol.messages import Message, fields_of
from rtlab.protocol.session_resume import Resume

__all__ = ["Handover"]


class Handover:
    """Stands for one transport to the connection above; beneath, one can follow another.

    Parameters
    ----------
    name : str
        Of the transport in use; ``name`` follows it.
    patience : float
        Seconds that writes under way get to end, when another transport takes over.
    """

    def __init__(self, name: str, *, patience: float) -> None:
        self.name = name
        self._patience = patience
        self._active: Transport | None = None
        self._former_bytes = (0, 0)
        # Writes
        self._turn = asyncio.Lock()  # it is fair: who waited while a transport took over is not overtaken
        self._writing = 0
        self._idle = asyncio.Event()
        # While the next transport opens with our session, the server may end the present one
        self._opening: asyncio.Event | None = None
        self._disturbed: Transport | None = None
        self._moved_at = -math.inf

    # What the one in use has

    @property
    def active(self) -> Transport:
        """The transport in use."""
        if self._active is None:
            raise TransportClosed(1006, "no transport is open")
        return self._active

    @property
    def confirms(self) -> bool:
        """Whether the transport in use confirms what it returns."""
        return self._active is not None and self._active.confirms

    @property
    def cursor(self) -> str | None:
        """The token of the transport in use."""
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
        """When the transport in use last heard anything."""
        return self._active.heard if self._active is not None else 0.0

    @property
    def buffered_bytes(self) -> int:
        """What waits in the transport in use."""
        return self._active.buffered_bytes if self._active is not None else 0

    @property
    def codec(self) -> Codec:
        """What the transport in use speaks."""
        return getattr(self.active, "codec", JSON)

    @property
    def max_message_bytes(self) -> int:
        """The limit of the transport in use."""
        return self.active.max_message_bytes

    @max_message_bytes.setter
    def max_message_bytes(self, limit: int) -> None:
        self.active.max_message_bytes = limit

    # One after the other

    def begin(self, name: str, transport: Transport) -> None:
        """Use a first transport, which is open."""
        self.name, self._active = name, transport

    async def take_over(
        self,
        name: str,
        transport: Transport,
        resume: Resume,
        deadline: float,
        moved: Callable[[Message], object],
    ) -> None:
        """Open another transport with the session, and go on over it.

        When it fails, the present one stays, unless the server has ended it meanwhile:
        then the connection is lost, and its ordinary reconnect loses nothing.

        Parameters
        ----------
        name : str
            Of the next transport.
        transport : Transport
            Not open yet.
        resume : Resume
            Where the connection stands.
        deadline : float
            Seconds until it must have been taken.
        moved : callable
            Called with the ``welcome``, in the turn of the loop from which on the
            messages of the next transport count.

        Raises
        ------
        ConnectFailed, TransportClosed, MessageError, TimeoutError
            It did not work.
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
        """Wait for the writes over the former transport: what it has posted may not be broken off."""
        self._idle.clear()
        try:
            async with asyncio.timeout(self._patience):
                while self._writing:
                    await self._idle.wait()
        except TimeoutError:
            pass  # their senders hear that it may not have arrived

    # The interface of a transport

    async def receive(self, take: Take | None = None) -> Message:
        """Return the next message, of whichever transport is in use by then.

        Parameters
        ----------
        take : callable, optional
            Offered the messages that arrive meanwhile.

        Raises
        ------
        TransportClosed
            The one in use ended.
        MessageError
            For one frame that cannot be read.
        """
        while True:
            transport = self.active
            if self._opening is not None and transport.confirms:
                # Another poll would take the session back from the transport that opens with it.
                await self._opening.wait()
                transport = self.active
            try:
                message = await transport.receive(take and partial(self._offer, take, transport))
            except MessageError:
                if transport is self._active:
                    raise
            except TransportClosed as error:
                if self._opening is not None:
                    await self._opening.wait()  # no longer than its deadline
                if transport is self._active:
                    raise self._not_for_good(transport, error) from error
            else:
                if transport is self._active:
                    return message
            # What the former transport still had comes again over the present one.

    def _offer(self, take: Take, transport: Transport, message: Message) -> bool:
        return transport is self._active and take(message)

    def _not_for_good(self, transport: Transport, error: TransportClosed) -> TransportClosed:
        """Return the error, made one to reconnect after if a move of ours may be the cause.

        The server keeps one connection for a session, and tells the other that it was
        replaced, which for any other client is final.
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
        """Measure a round trip over the transport in use."""
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
