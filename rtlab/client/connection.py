"""One connection over any transport: the same states, events and rules for all four.

`policies.state_transition_table` decides, `StateMachineRunner` carries it out. `MessageDispatch` handles what
is received, `MessageSender` sends, `Requests` matches answers to requests. A `Transport` opens once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rtlab.client.auth.connection_token_renewal import ConnectionTokenRenewal
from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.client.cancellable_writes import CancellableWrites
from rtlab.client.connection_attempt import ConnectionAttempt
from rtlab.client.connection_options import checked_option, in_force, policy_of, positive
from rtlab.client.connection_stats import ConnectionStats, read_stats
from rtlab.client.connection_watchers import Watchable
from rtlab.client.default_heartbeat_by_transport import DefaultHeartbeat
from rtlab.client.delivery.acknowledged_send import AcknowledgedSend
from rtlab.client.delivery.receipt import UNACKNOWLEDGED, Receipt
from rtlab.client.delivery.retransmission import DeliveryMode
from rtlab.client.message_iterator import MessageIterator
from rtlab.client.message_sender import MessageSender
from rtlab.client.pending_requests_and_answers import Requests
from rtlab.client.received_message_dispatch import MessageDispatch
from rtlab.client.send_throttle import Throttle
from rtlab.client.transition_action_runner import StateMachineRunner
from rtlab.client.transports.transport_interface import Transport
from rtlab.errors import InvalidState
from rtlab.policies import state_machine_types as states
from rtlab.policies.backoff import Backoff
from rtlab.policies.missed_heartbeats_and_dead_peers import Heartbeat
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import CheckedItems, Message

if TYPE_CHECKING:
    from rtlab.protocol.payload_schemas import Schemas  # it imports a schema compiler, so only on demand

__all__ = ["Connection", "State"]

State = states.State


class Connection(Watchable):
    """A long-lived connection with typed events that reconnects by a policy and resumes its session.

    Parameters
    ----------
    factory : callable
        Makes a fresh `Transport` for each attempt.

    # Identity
    client_id : str or None
        A name for this client that outlives its connections; None lets the server choose one.
    auth : Tokens or None
        Proves the user, and is renewed while the connection is open; the transports send it.

    # Reconnecting
    backoff : Backoff or None
        Delays between attempts; None is full jitter, base 0.5 s, cap 30 s.
    reconnect_interval : float or None
        Shorthand for full jitter with this base, in seconds.
    max_reconnect_attempts : int or None
        Retries before giving up; None: as the backoff says.
    min_uptime : float or None
        Seconds that a connection must last to reset the retry count; None: as the backoff says.
    retry_initial : bool
        Whether to retry the first connect too if it fails.
    max_retry_after : float
        Seconds up to which the server's hints (``Retry-After``, a stream's ``retry:``) are obeyed; 0: not.

    # Health
    heartbeat : Heartbeat, None or "default"
        `Ping`, `Watchdog` or `Sweep`: how to detect a dead peer. Default: as `default_heartbeat`
        says for the transport. None: only the transport's own timeouts, often after minutes.
    breaker : CircuitBreaker or None
        Asked before each attempt. Connections to the same origin should share one.

    # Timeouts
    connect_timeout, close_timeout, request_timeout : float
        Seconds for a whole attempt to connect, for the closing handshake, and for an answer.

    # Limits
    max_queue : int
        Messages that may wait for an iterator; when full, reading stops (backpressure on the peer).
    max_dead_letters : int
        How many of the newest refused messages are kept for inspection.
    delivery_window : int
        How many messages of the acknowledged modes may be in flight without an acknowledgement.
    throttle : Throttle or None
        Limits the rate of sent messages by letting `send` wait; None: no limit.
    schemas : Schemas or None
        Schemas of the payloads, sent and received; payloads that violate them become dead letters.

    # Injected
    clock : callable
        Returns monotonic seconds.
    rng : numpy.random.Generator or None
        The source of jitter; None: a generator seeded by the operating system.

    Examples
    --------
    >>> async def talk(conn: Connection) -> None:
    ...     conn.on("chat", lambda message: print(message.payload["text"]))
    ...     async with conn:
    ...         await conn.send("chat", {"text": "hi"}, room_id="lobby")
    """

    def __init__(
        self,
        factory: Callable[[], Transport],
        *,
        # Identity
        client_id: str | None = None,
        auth: Tokens | None = None,
        # Reconnecting
        backoff: Backoff | None = None,
        reconnect_interval: float | None = None,
        max_reconnect_attempts: int | None = None,
        min_uptime: float | None = None,
        retry_initial: bool = False,
        max_retry_after: float = 300.0,
        # Health
        heartbeat: Heartbeat | DefaultHeartbeat | None = "default",
        breaker: CircuitBreaker | None = None,
        # Timeouts
        connect_timeout: float = 10.0,
        close_timeout: float = 2.0,
        request_timeout: float = 5.0,
        # Limits
        max_queue: int = 1024,
        max_dead_letters: int = 100,
        delivery_window: int = 256,
        throttle: Throttle | None = None,
        schemas: Schemas | None = None,
        # Injected
        clock: Callable[[], float] = time.monotonic,
        rng: np.random.Generator | None = None,
    ) -> None:
        if heartbeat != "default":
            checked_option("heartbeat", heartbeat, "Ping(20, 10)", "start", "step")
        checked_option("breaker", breaker, "CircuitBreaker()", "allow", "wait")
        checked_option("throttle", throttle, "Throttle(TokenBucket(50, 10))", "admit")
        checked_option("auth", auth, "Tokens(user, password)", "renew")
        self.request_timeout = positive("request_timeout", request_timeout)
        self._clock = clock
        writes = CancellableWrites()
        requests = self._requests = Requests()
        limits = {"max_queue": max_queue, "max_dead_letters": max_dead_letters}
        self._dispatch = MessageDispatch(clock, requests, client_id=client_id, schemas=schemas, **limits)
        self._emitter, self._wire = self._dispatch.emitter, self._dispatch.wire
        self._position = self._dispatch.position
        make_attempt = partial(
            ConnectionAttempt,
            factory,
            self._dispatch,
            writes,
            heartbeat=heartbeat,
            breaker=breaker,
            keeper=None if auth is None else ConnectionTokenRenewal(auth, self.request),
            join=partial(self.join_room, will_repeat=True),
            connect_timeout=positive("connect_timeout", connect_timeout),
            clock=clock,
        )
        policy = policy_of(
            backoff, reconnect_interval, max_reconnect_attempts, min_uptime, retry_initial, max_retry_after
        )
        waits = {"connect_timeout": connect_timeout, "request_timeout": request_timeout}
        told = {"heartbeat": heartbeat, "breaker": breaker, "throttle": throttle}
        self._options = in_force(policy, **told, **waits, **limits)
        self._runner = StateMachineRunner(
            make_attempt,
            self._dispatch,
            requests,
            writes,
            policy,
            close_timeout=positive("close_timeout", close_timeout),
            clock=clock,
            rng=rng if rng is not None else np.random.default_rng(),
        )
        self._sender = MessageSender(self._runner, self._dispatch, requests, writes, throttle, schemas)
        self._acknowledged = AcknowledgedSend(
            self._runner, self._dispatch, requests, self._sender, delivery_window, self.request_timeout
        )

    @property
    def state(self) -> State:
        """The connection's present state."""
        return self._runner.state

    @property
    def client_id(self) -> str | None:
        """This client's durable name; None until it is known."""
        return self._dispatch.position.client_id

    @client_id.setter
    def client_id(self, name: str) -> None:
        """Set the name, which is possible only before the first session: the session is bound to it."""
        position = self._dispatch.position
        if position.client_id != name and position.session is not None:
            raise InvalidState(
                "a connection that was not open yet", self.state.value, "pass client_id= to it"
            )
        position.client_id = name

    @property
    def stats(self) -> ConnectionStats:
        """A frozen snapshot of the connection."""
        return read_stats(self._runner, self._dispatch, self._sender, self._clock())

    @property
    def dead_letters(self) -> tuple[tuple[Message | None, Exception], ...]:
        """Messages that were refused, each with its error; None stands for one that could not be decoded."""
        return tuple(self._dispatch.dead_letters)

    @property
    def welcome(self) -> Message | None:
        """The server's ``welcome`` on the newest connection; None from a server that is not rtlab's."""
        return None if (opened := self._runner.opened) is None else opened.welcome

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.value}>"

    # Opening and closing

    async def connect(self) -> None:
        """Open the connection; return when messages can be sent.

        If the connection is open, returns at once; if it is reconnecting, waits for the outcome.

        Raises
        ------
        ConnectFailed
            No further attempt is made; ``__cause__`` is the cause.
        """
        await self._runner.connect()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close for good: no reconnect follows, and nothing is left running.

        Parameters
        ----------
        code : int
            The close code to send.
        reason : str
            Up to 123 bytes of UTF-8.
        """
        await self._runner.close(code, reason, self._acknowledged.close)

    def reconnect_now(self) -> None:
        """Start the next attempt at once, if it is waiting for its backoff delay to pass."""
        self._runner.feed(states.ReconnectNow())

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # Messages

    async def send(
        self,
        type: str,
        payload: Any = None,
        *,
        room_id: str | None = None,
        id: str | None = None,
        ts: float | None = None,
        delivery: DeliveryMode = "at_most_once",
    ) -> Receipt:
        """Send one message.

        Parameters
        ----------
        type, payload : str and any
            The message's type, and its content in the JSON data model.
        room_id : str, optional
            The room to publish it in.
        id : str, optional
            An id, which the server's answer repeats.
        ts : float, optional
            When it should have been sent, in monotonic seconds; an ``echo`` returns it.
        delivery : {"at_most_once", "at_least_once", "effectively_once"}
            The last two retransmit the message until it is acknowledged (``await receipt.acked(timeout)``),
            without end while a member blocks its room, or until sending it has raised six unforeseen errors
            (a transport's bug, for instance); with the last, the server drops duplicates.

        Raises
        ------
        NotConnected
            No connection is open, or it ended during the write: the message may not have arrived.
        MessageError
            The payload is not in the JSON data model, or too large for the server.
        """
        message = Message(type, payload, id, room_id=room_id, ts=ts)
        if delivery == "at_most_once":
            await self._sender.write(message)
            return UNACKNOWLEDGED
        return await self._acknowledged.send(message, delivery)

    async def request(
        self, type: str, payload: Any = None, *, room_id: str | None = None, timeout: float | None = None
    ) -> Message:
        """Send one message and wait for the answer that carries its id.

        Parameters
        ----------
        type, payload, room_id
            As for `send`.
        timeout : float, optional
            Seconds for the write and the answer together; None: the connection's `request_timeout`.

        Raises
        ------
        RequestRefused
            The server answered with an ``error``.
        TimeoutError
            No answer came in time.
        NotConnected
            No connection is open, or it was lost before the answer came.
        """
        message = Message(type, payload, self._requests.new_id(), room_id=room_id)
        return await self._sender.ask(message, timeout if timeout is not None else self.request_timeout)

    async def repeatable_batch(self, items: list[dict[str, Any]], timeout: float) -> Message:
        """Send a ``batch`` that its caller repeats if it cannot be sent yet: then it is no dead letter."""
        batch = Message("batch", items, self._requests.new_id())
        return await self._sender.ask(batch, timeout, will_repeat=True)

    def batch_at_once(self, items: CheckedItems, timeout: float) -> asyncio.Future[Message] | None:
        """Write a ``batch`` request now; return its future answer, or None if a write now is impossible."""
        return self._sender.ask_at_once(Message("batch", items, self._requests.new_id()), timeout)

    def fits(self, items: Iterable[Message]) -> bool:
        """Whether a batch of these messages, in the connection's codec, is within its message limit."""
        return self._sender.fits(Message("batch", CheckedItems(items), self._requests.new_id()))

    @property
    def max_message_bytes(self) -> int:
        """The largest message to send, in bytes: the server's limit or the client's, whichever is less."""
        transport = self._runner.transport
        return MAX_MESSAGE_BYTES if transport is None else transport.max_message_bytes

    def check(self, message: Message) -> None:
        """Raise `MessageError` if a message to be batched violates the schemas; `send` checks by itself."""
        self._sender.check(message)

    async def join_room(self, room_id: str, *, probe: bool = False, will_repeat: bool = False) -> Message:
        """Subscribe to a room, across reconnects too; return the ``ack``: `recovered`, `epoch`, `offset`.

        Parameters
        ----------
        room_id : str
            The room's name.
        probe : bool
            Ask whether the server still has this subscription, without a notice to the room. If the
            server had silently dropped it (``member`` is False), it is renewed, with a ``resync`` event.
        will_repeat : bool
            Whether the caller repeats it if it cannot be sent yet: then it is not kept as a dead letter.
        """
        join = self._dispatch.joins.join(room_id, probe=probe)
        try:
            return await self._sender.ask(join, self.request_timeout, will_repeat=will_repeat)
        finally:
            self._dispatch.joins.forget(join)

    async def leave_room(self, room_id: str) -> Message:
        """Leave a room; return the ``ack``. Without an answer, it is left again after the next reconnect."""
        unheard = True
        try:
            answer = await self.request("leave_room", {"roomId": room_id})
            unheard = False
        finally:  # not earlier: a message still in flight would enter the room again
            self._dispatch.position.leave(room_id, unheard=unheard)
        return answer

    @property
    def buffered_amount(self) -> int:
        """Bytes in send buffers, not yet on the network; above a high-water mark, `send` waits by itself."""
        return self._sender.buffered_bytes

    async def drain(self, timeout: float | None = None) -> None:
        """Wait for `buffered_amount` 0; raise `TimeoutError` (None: `request_timeout`) or `NotConnected`."""
        await self._sender.drain(timeout if timeout is not None else self.request_timeout)

    async def ping(self) -> float:
        """Return one round trip in seconds; ``stats.rtt`` shows it if no heartbeat measures round trips."""
        return await self._sender.ping(self.request_timeout)

    def __aiter__(self) -> MessageIterator:
        return self._dispatch.iterate()
