"""One attempt to connect, from the circuit breaker's permission to the end of the opened transport.

`StateMachineRunner` makes one object for each attempt, and feeds the outcome to the state machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from rtlab.client.auth.connection_token_renewal import ConnectionTokenRenewal
from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.client.cancellable_writes import CancellableWrites
from rtlab.client.default_heartbeat_by_transport import DefaultHeartbeat, default_heartbeat
from rtlab.client.received_message_dispatch import MessageDispatch
from rtlab.client.rejoin_retries import RejoinRetries
from rtlab.client.send_scheduled_pings import HeartbeatRunner
from rtlab.client.transports.transport_interface import Transport
from rtlab.errors import ConnectFailed, MessageError, NotConnected, TransportClosed, describe
from rtlab.policies.missed_heartbeats_and_dead_peers import Heartbeat, Rtt
from rtlab.processes.owned_tasks import Spawn
from rtlab.protocol.batches import messages_of
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import session_of

__all__ = ["ConnectionAttempt"]


class ConnectionAttempt:
    """Opens one transport, and reads from it until it ends.

    Parameters
    ----------
    factory : callable
        Makes the `Transport`.
    dispatch : MessageDispatch
        Handles the messages that the transport receives.
    writes : CancellableWrites
        Runs the writes of the ``join_room`` messages after a reconnect.
    spawn : callable
        Runs a coroutine as a task whose owner cancels and awaits it.
    heartbeat : Heartbeat, None or "default"
        How to detect a dead peer; None does not detect it.
    breaker : CircuitBreaker or None
        Asked before the attempt for permission, and told afterwards whether it succeeded.
    keeper : ConnectionTokenRenewal or None
        Renews the access token while the connection is open; None without tokens.
    join : callable
        Joins one room, and raises the errors of `Connection.join_room`.
    connect_timeout : float
        Seconds within which the transport must have opened.
    clock : callable
        Returns monotonic seconds.

    Attributes
    ----------
    welcome : Message or None
        The server's ``welcome``; None from a server that is not rtlab's.
    connect_time : float
        Seconds that opening the transport took; 0 until it is open.
    """

    def __init__(
        self,
        factory: Callable[[], Transport],
        dispatch: MessageDispatch,
        writes: CancellableWrites,
        spawn: Spawn,
        *,
        heartbeat: Heartbeat | DefaultHeartbeat | None,
        breaker: CircuitBreaker | None,
        keeper: ConnectionTokenRenewal | None = None,
        join: Callable[[str], Awaitable[object]],
        connect_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self.welcome: Message | None = None
        self.connect_time = 0.0
        self._factory = factory
        self._dispatch = dispatch
        self._writes = writes
        self._spawn = spawn
        self._heartbeat = heartbeat
        self._breaker = breaker
        self._keeper = keeper
        self._connect_timeout = connect_timeout
        self._clock = clock
        self._transport: Transport | None = None
        self._retries = RejoinRetries(dispatch, join, self._start_joining)
        self._beats: HeartbeatRunner | None = None
        self._reading: asyncio.Timeout | None = None  # while `listen` runs
        self._broken: BaseException | None = None
        self._blocked = False
        self._ended = False

    @property
    def rtt(self) -> Rtt | None:
        """The round-trip estimate from heartbeats; None before the first answered ping."""
        return self._beats.rtt if self._beats is not None else None

    def ask_breaker(self) -> None:
        """Raise `ConnectFailed` with ``attempts=0`` when the circuit breaker does not allow this attempt."""
        if self._breaker is not None and not self._breaker.allow():
            wait = self._breaker.wait
            why = f"open for another {wait:.1f} s" if wait else "half-open, and another attempt probes"
            raise ConnectFailed(f"the circuit breaker is {why}", retry_after=wait or None, attempts=0)

    async def open(self) -> Transport:
        """Make the transport, open it, and report the outcome to the circuit breaker.

        Raises
        ------
        ConnectFailed, TransportClosed
            The transport did not open, or not within ``connect_timeout``.
        """
        transport = self._transport = self._factory()
        breaker, started = self._breaker, self._clock()
        try:
            async with asyncio.timeout(self._connect_timeout):
                try:
                    self.welcome = await transport.open(self._dispatch.position.resume())
                except ConnectFailed as error:
                    if self._keeper is None or not self._keeper.may_renew(error):
                        raise
                    # Only one more time: if the server refuses the new token as well, its refusal stands.
                    transport.abort()
                    transport = self._transport = self._factory()
                    self.welcome = await transport.open(self._dispatch.position.resume())
        except (ConnectFailed, TransportClosed, TimeoutError) as error:
            if breaker is not None:
                # An origin that answers with a final refusal (401, 404 …) is alive: a success.
                alive = isinstance(error, ConnectFailed) and not error.retryable
                (breaker.record_success if alive else breaker.record_failure)()
            if isinstance(error, TimeoutError):
                raise ConnectFailed(
                    f"no answer within {self._connect_timeout:g} s: the server accepts and stays silent, "
                    "or is too slow for connect_timeout"
                ) from error
            raise
        if breaker is not None:
            breaker.record_success()
        self.connect_time = self._clock() - started
        return transport

    def begin_session(self, transport: Transport) -> bool:
        """Start or continue the session that the welcome names; return whether it is the former session."""
        if self.welcome is None:
            return False
        resumed = self._dispatch.begin(self.welcome)
        limit = self._dispatch.limit_of(self.welcome)
        transport.max_message_bytes = min(transport.max_message_bytes, limit)
        if self._dispatch.position.unconfirmed() or self._dispatch.position.leaving:
            # Started before the handlers of "connected" run, so that messages that they publish go out after
            # the joins. A resumed session may need this too, if the last connection ended before its joins
            # were acknowledged.
            self._start_joining(partial(self._join_again, transport))
        return resumed

    def move(self, welcome: Message) -> None:
        """Follow the transport, which has just moved the session to another connection.

        Parameters
        ----------
        welcome : Message
            The server's ``welcome`` on that connection; its ``resumed`` is true.
        """
        transport = self._transport
        assert transport is not None
        self.welcome = welcome
        self.begin_session(transport)
        self._dispatch.position.confirming = transport.confirms
        if self._beats is not None:
            self._beats.end()
            self._spawn(self._beats.stop())
        self._start_heartbeat(transport)

    async def listen(self, transport: Transport) -> None:
        """Pass messages to the dispatch until the transport ends or the heartbeat finds the peer dead.

        Raises
        ------
        TransportClosed
            Always, in the end; it has the reason.
        """
        keeper = self._keeper
        keeping = asyncio.create_task(self._keep_token(keeper, transport)) if keeper is not None else None
        if keeping is not None:
            keeping.add_done_callback(self._token_kept)
        try:
            async with asyncio.timeout(None) as self._reading:
                self._start_heartbeat(transport)
                await self._read(transport)
        except TimeoutError:
            if self._broken is None:
                raise
            raise self._broken from None
        finally:
            self._reading = None
            if keeping is not None:
                keeping.cancel()
                await asyncio.wait((keeping,))
            if self._beats is not None:
                await self._beats.stop()

    def end(self) -> None:
        """Deliver no more messages to handlers; reading goes on, for the closing handshake."""
        self._ended = True
        self._retries.end()
        if self._beats is not None:
            self._beats.end()

    def abort(self) -> None:
        """Drop the transport, if one was made; an error that its `abort` raises is reported, not raised."""
        if self._transport is not None:
            try:
                self._transport.abort()
            except Exception as error:  # of a third party's transport: it must not hide why the attempt ended
                text = f"the transport's abort raised {describe(error)}"
                self._dispatch.report("connect", text, error=error)

    def _start_heartbeat(self, transport: Transport) -> None:
        """Start the heartbeat that was given, or the transport's default, if `listen` is running."""
        given = self._heartbeat
        foreign = self.welcome is None
        heartbeat = default_heartbeat(transport.name, foreign=foreign) if isinstance(given, str) else given
        self._beats = None
        if heartbeat is not None and self._reading is not None and not self._ended:
            self._beats = HeartbeatRunner(heartbeat, transport, self._clock, self._dead, self._dispatch.wire)
            if self._blocked:
                self._beats.pause()

    async def _keep_token(self, keeper: ConnectionTokenRenewal, transport: Transport) -> None:
        try:
            await keeper.keep(transport)
        except Exception as error:  # a bug must end the connection, not only the renewal of tokens
            self._break(error)

    def _token_kept(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # by other code, if `listen` still runs: the token would end unnoticed
            self._break(TransportClosed(1006, "the renewal of the access token was cancelled"))

    def _dead(self, reason: str) -> None:
        self._break(TransportClosed(1006, f"heartbeat: {reason}"))

    def _break(self, error: BaseException) -> None:
        """Make `listen` raise `error`."""
        if self._reading is not None and self._broken is None:
            self._broken = error
            self._reading.reschedule(asyncio.get_running_loop().time())

    async def _read(self, transport: Transport) -> None:
        receive, put = transport.receive, self._dispatch.put
        take = partial(self._take, transport)
        first = self.welcome is None
        while True:
            try:
                message = await receive(None if first else take)
            except MessageError as error:
                if not self._ended:
                    self._dispatch.put_unreadable(error)
                continue
            if self._ended:
                continue  # closing: `disconnected` was announced, so handlers get no more messages
            if first:
                first = False
                if session_of(message) is not None:  # welcome of an rtlab server, after FOREIGN_AFTER
                    self.welcome = message
                    self.begin_session(transport)
                    if self._beats is None:
                        self._start_heartbeat(transport)
                    continue
            if message.type == "batch" and self.welcome is not None:
                await self._unpack(message, transport.cursor)
                continue
            space = put(message, transport.cursor)
            if space is not None:
                await self._wait_for_space(space)

    async def _unpack(self, batch: Message, cursor: str | None) -> None:
        """Handle each message of a batch from an rtlab server as if it had arrived alone."""
        items = messages_of(batch)
        for item in items:
            if self._ended:
                return
            if isinstance(item, MessageError):
                self._dispatch.put_unreadable(item)
                continue
            # The frame's cursor points behind its last message, so only that message carries it. A resume
            # from an earlier message of the frame uses the sequence number alone.
            space = self._dispatch.put(item, cursor if item is items[-1] else None)
            if space is not None:
                await self._wait_for_space(space)

    def _take(self, transport: Transport, message: Message) -> bool:
        """Handle a message inside the transport's callback; return False if `_read` must handle it.

        `_read` handles batches, and messages after which the iterator's queue may be full.
        """
        if self._broken is not None or message.type == "batch" or not self._dispatch.has_room():
            return False
        if not self._ended:
            try:
                self._dispatch.put(message, transport.cursor)
            except BaseException as error:  # KeyboardInterrupt or SystemExit in a handler
                self._break(error)
        return True

    async def _wait_for_space(self, space: asyncio.Event) -> None:
        """Stop reading until the iterator has taken a message: backpressure on the peer."""
        if self._beats is not None:
            self._beats.pause()
        self._blocked = True
        await space.wait()
        self._blocked = False
        if self._beats is not None:
            self._beats.resume()

    def _start_joining(self, joining: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        transport = self._transport
        assert transport is not None
        task = self._spawn(self._rejoin(transport, joining))
        task.add_done_callback(partial(self._rejoined, transport))
        return task

    def _rejoined(self, transport: Transport, task: asyncio.Task[None]) -> None:
        # By other code, perhaps before its first step; the next connection joins again.
        if task.cancelled() and not self._ended:
            transport.abort()

    async def _rejoin(self, transport: Transport, joining: Callable[[], Awaitable[None]]) -> None:
        """Run what joins the rooms of the former session again.

        Runs as its own task, so that reading and the heartbeat go on while a write waits.
        """
        try:
            await joining()
        except (TransportClosed, NotConnected):
            pass  # `_read` learns from the transport itself that the connection ended
        except MessageError as error:
            self._dispatch.refuse(None, error, "codec")
        except Exception as error:
            self._dispatch.report(
                "connect", f"joining the rooms again failed: {describe(error)}", error=error
            )
            transport.abort()

    async def _join_again(self, transport: Transport) -> None:
        """Join the rooms, and repeat unacknowledged ``leave_room`` requests."""
        for message in self._dispatch.joins.rejoins(transport.max_message_bytes, self._retries.add):
            if self._dispatch.wire.watchers:
                self._dispatch.wire.tell("client", "message", message)
            await self._writes.run(transport.send(message))
