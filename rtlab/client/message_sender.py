"""Checks, paces and writes a connection's messages and requests; sends pings and measures the round trips.

`MessageSender` is the counterpart of `MessageDispatch`. It writes to the transport that `StateMachineRunner`
holds open.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from rtlab.client.cancellable_writes import CancellableWrites
from rtlab.client.pending_requests_and_answers import Requests, unwrap
from rtlab.client.received_message_dispatch import MessageDispatch
from rtlab.client.send_throttle import Throttle
from rtlab.client.timeout_error_messages import within
from rtlab.client.transition_action_runner import StateMachineRunner
from rtlab.client.transports.transport_interface import Transport
from rtlab.errors import MessageError, MessageTooLarge, NotConnected, RtlabError, TransportClosed
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.protocol.message_format import Message

if TYPE_CHECKING:
    from rtlab.protocol.payload_schemas import Schemas  # it imports a schema compiler, so only on demand

__all__ = ["MessageSender"]

#: Seconds between two checks of the send buffer: no transport notifies when it is empty.
_LOOK_AGAIN: Final = 0.002

#: How many writes in a row go out before `write` yields to the event loop. A write that need not wait does
#: not suspend its caller, so without this a loop of writes would keep the client from reading, and the server
#: disconnects a client that does not read (a slow consumer).
_IN_A_ROW: Final = 128


class MessageSender:
    """Processes every message before the transport sends it.

    Parameters
    ----------
    runner : StateMachineRunner
        Holds the open transport.
    dispatch : MessageDispatch
        Keeps refused messages as dead letters, and has the watchers of the wire.
    requests : Requests
        The open requests, to which each new request is added.
    writes : CancellableWrites
        Runs writes so that a lost connection or a deadline can interrupt them.
    throttle : Throttle or None
        Delays messages to keep them below a rate; None: no limit.
    schemas : Schemas or None
        Schemas of the payloads; None checks nothing.

    Attributes
    ----------
    messages_out : int
        Messages sent.
    rtt : float or None
        The last round trip that `ping` measured, in seconds; None before the first.
    """

    def __init__(
        self,
        runner: StateMachineRunner,
        dispatch: MessageDispatch,
        requests: Requests,
        writes: CancellableWrites,
        throttle: Throttle | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        self.messages_out = 0
        self.rtt: float | None = None
        self._runner = runner
        self._dispatch = dispatch
        self._requests = requests
        self._writes = writes
        self._throttle = throttle
        self._schemas = schemas
        self._in_a_row = 0

    async def write(self, message: Message) -> None:
        """Send one message, at most once.

        Raises
        ------
        NotConnected
            No connection is open, or it ended during the write.
        MessageError
            The payload is not in the JSON data model, or too large for the server.
        """
        await self._write(self._transport(), message)
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)

    def check(self, message: Message) -> None:
        """Raise `MessageError` if a payload violates its schema, after keeping it as a dead letter.

        `write` and `ask` check by themselves; a caller that builds a batch checks each item with this.
        """
        if self._schemas is not None:
            try:
                self._schemas.check(message)
            except MessageError as error:
                self._dispatch.refuse(message, error, "schema")
                raise

    async def ask(self, message: Message, timeout: float, *, will_repeat: bool = False) -> Message:
        """Send one message, and return the answer that carries its id.

        Parameters
        ----------
        message : Message
            The request; it must have an id.
        timeout : float
            Seconds for the write and the answer together.
        will_repeat : bool
            Whether the caller repeats the message if the transport cannot send it yet (the error has a
            `retry_after`): then it is not kept as a dead letter.

        Raises
        ------
        RequestRefused
            The server answered with an ``error``.
        TimeoutError
            No answer came in time.
        NotConnected
            No connection is open, or it was lost before the answer came.
        """
        assert message.id is not None
        transport = self._transport()
        answer = self._requests.expect(message, timeout)
        try:
            await self._write(transport, message, answer, will_repeat=will_repeat)
            return unwrap(await answer)
        except BaseException:
            self._requests.forget(message.id)
            if answer.done() and not answer.cancelled():
                answer.exception()  # marks it as retrieved: the write may have failed first
            raise

    def ask_at_once(self, batch: Message, timeout: float) -> asyncio.Future[Message] | None:
        """Send a batch without waiting, and return its future answer, which may be an ``error``.

        Return None if it was not sent: the write might have to wait, a schema or throttle applies, or the
        transport refuses the batch. The caller then uses `ask`.
        """
        if self._schemas is not None or self._throttle is not None:
            return None
        try:
            transport = self._transport()
            send = getattr(transport, "send_at_once", None)
            if send is None or not send(batch):
                return None
        except RtlabError:
            return None
        if self._dispatch.wire.watchers:
            self._dispatch.wire.tell("client", "message", batch)
        self.messages_out += 1
        return self._requests.expect(batch, timeout)

    def fits(self, message: Message) -> bool:
        """Whether a message is within the transport's size limit; True while no connection is open."""
        transport = self._runner.transport
        if transport is None:
            return True
        codec: Codec = getattr(transport, "codec", JSON)
        try:
            codec.encode(message, transport.max_message_bytes)
        except MessageTooLarge:
            return False
        return True

    @property
    def buffered_bytes(self) -> int:
        """Bytes in the transport's send buffers; 0 without a connection."""
        transport = self._runner.transport
        return transport.buffered_bytes if transport is not None else 0

    async def drain(self, timeout: float) -> None:
        """Return when the send buffers are empty.

        Raises
        ------
        TimeoutError
            Bytes were still buffered after `timeout` seconds.
        NotConnected
            No connection is open, or it ended first.
        """
        transport = self._transport()
        async with within(timeout, lambda: f"{transport.buffered_bytes:,} bytes have not left: a slow path?"):
            while transport.buffered_bytes:
                await asyncio.sleep(_LOOK_AGAIN)
                if self._transport() is not transport:
                    raise NotConnected("the connection ended with messages in its buffer")

    async def ping(self, timeout: float) -> float:
        """Measure one round trip; return its seconds, and keep them in `rtt`.

        Raises
        ------
        TimeoutError
            No answer came within `timeout` seconds.
        NotConnected
            No connection is open, or it ended before the answer came.
        """
        transport = self._transport()
        try:
            async with within(timeout, lambda: "no answer to a ping: the path may be dead"):
                self.rtt = await self._dispatch.wire.ping(transport)
        except TransportClosed as error:
            await _let_the_loss_be_noticed()
            raise NotConnected(f"the connection ended before the answer came: {error}") from error
        return self.rtt

    async def _write(
        self,
        transport: Transport,
        message: Message,
        answer: asyncio.Future[Message] | None = None,
        *,
        will_repeat: bool = False,
    ) -> None:
        try:
            if self._schemas is not None:
                self._schemas.check(message)
            if self._throttle is not None:
                write = self._paced(transport, message)
            else:
                if self._dispatch.wire.watchers:
                    self._dispatch.wire.tell("client", "message", message)
                write = transport.send(message)
            await self._writes.run(write, answer)
        except TransportClosed as error:
            await _let_the_loss_be_noticed()
            raise NotConnected(f"the connection ended before the message was sent: {error}") from error
        except MessageError as error:
            if not will_repeat or error.retry_after is None:
                self._dispatch.refuse(message, error, "codec")
            raise
        self.messages_out += 1

    async def _paced(self, transport: Transport, message: Message) -> None:
        assert self._throttle is not None
        try:
            await self._throttle.admit(message)
        except ValueError as error:
            raise MessageError(
                f"the throttle can never let this message through: {error}", "too_large"
            ) from None
        if self._dispatch.wire.watchers:
            self._dispatch.wire.tell("client", "message", message)
        await transport.send(message)

    def _transport(self) -> Transport:
        self._runner.check_loop()
        transport = self._runner.transport
        if transport is None:
            raise NotConnected(
                f"expected a connection that is Connected, got {self._runner.state.value}: "
                "await connect(), or wait for the 'connected' event"
            )
        return transport


async def _let_the_loss_be_noticed() -> None:
    """Let the event loop run once.

    A transport knows of its end a turn of the loop before the task that reads from it. A caller that sends
    while the state is connected would never let that turn come.
    """
    await asyncio.sleep(0)
