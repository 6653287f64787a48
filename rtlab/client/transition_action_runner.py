"""Carries out what `policies.state_transition_table` decides: attempts, the retry timer, orderly closes.

The state machine is pure; this module turns its actions into tasks and timers. Each
`ConnectionAttempt` runs in one task, which feeds its outcome back to the state machine.

Whatever ends that task (a lost connection, a bug, a cancellation from outside, an interrupt in a
handler), the state machine is told, and all that waits (`connect`, requests, writes, iterators) is woken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from rtlab.client.callers_waiting_for_connect import ConnectCallers
from rtlab.client.cancellable_writes import CancellableWrites
from rtlab.client.connection_attempt import ConnectionAttempt
from rtlab.client.event_emitter import Connected, Disconnected, Reconnecting
from rtlab.client.pending_requests_and_answers import Requests
from rtlab.client.received_message_dispatch import MessageDispatch
from rtlab.client.transports.transport_interface import Transport
from rtlab.errors import ConnectFailed, ConnectionLost, InvalidState, TransportClosed, describe
from rtlab.policies import state_machine_types as states
from rtlab.policies.retry_limits_and_server_hints import RetryPolicy
from rtlab.policies.state_transition_table import Lifecycle, step
from rtlab.processes.owned_tasks import OwnedTasks, Spawn
from rtlab.protocol.close_codes import check_close, should_reconnect

__all__ = ["StateMachineRunner"]

State = states.State


class StateMachineRunner:
    """Keeps one connection alive.

    Parameters
    ----------
    make_attempt : callable
        Makes a new `ConnectionAttempt`; its argument is `spawn`, which runs the attempt's tasks.
    dispatch : MessageDispatch
        Handles received messages, and calls the handlers of events.
    requests : Requests
        The open requests; they fail when the connection ends.
    writes : CancellableWrites
        The waiting writes; they fail when the connection ends.
    policy : RetryPolicy
        Whether and when to reconnect.
    close_timeout : float
        Seconds for the closing handshake.
    clock : callable
        Returns monotonic seconds.
    rng : numpy.random.Generator
        The source of jitter.

    Attributes
    ----------
    transport : Transport or None
        The open transport; None while the connection is not open.
    opened : ConnectionAttempt or None
        The newest attempt that opened its transport; None before the first.
    attempts, connects, disconnects : int
        Attempts to connect, connections opened, and connections lost so far.
    spawn : callable
        Runs a coroutine as a task that `close` cancels and awaits.
    follow : callable
        Called with True when a connection has opened, and with False when it has ended.
    """

    def __init__(
        self,
        make_attempt: Callable[[Spawn], ConnectionAttempt],
        dispatch: MessageDispatch,
        requests: Requests,
        writes: CancellableWrites,
        policy: RetryPolicy,
        *,
        close_timeout: float,
        clock: Callable[[], float],
        rng: np.random.Generator,
    ) -> None:
        self.life = Lifecycle()
        self.transport: Transport | None = None
        self.opened: ConnectionAttempt | None = None
        self.attempts = self.connects = self.disconnects = 0
        self.follow: Callable[[bool], None] = lambda up: None
        self._bytes = (0, 0)
        self._make_attempt = make_attempt
        self._dispatch = dispatch
        self._requests = requests
        self._writes = writes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._policy = policy
        self._close_timeout = close_timeout
        self._clock = clock
        self._rng = rng
        self._events: deque[states.ConnectionEvent] = deque()
        self._tasks = OwnedTasks()
        self.spawn = self._tasks.spawn
        self._attempt: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._shutting: Transport | None = None
        self._closing = asyncio.Lock()
        self._callers = ConnectCallers()
        self._cause: BaseException | None = None

    @property
    def state(self) -> State:
        """The connection's present state."""
        if self._loop is not None and self._loop.is_closed():
            self._forget_closed_loop()
        return self.life.state

    @property
    def bytes_in(self) -> int:
        """Encoded bytes received, over all transports so far."""
        return self._bytes[0] + (self.transport.bytes_in if self.transport is not None else 0)

    @property
    def bytes_out(self) -> int:
        """Encoded bytes sent, over all transports so far."""
        return self._bytes[1] + (self.transport.bytes_out if self.transport is not None else 0)

    async def connect(self) -> None:
        """Return when the connection is open; raise `ConnectFailed` when no further attempt is made."""
        self.check_loop()
        if self.life.state is State.CONNECTED:
            return
        if self.life.state not in (State.CONNECTING, State.RECONNECTING):
            self._loop = asyncio.get_running_loop()
            self._cause = None
            self._callers.start()
            self._dispatch.start()
        await self._callers.wait(lambda: self.feed(states.Connect()), lambda: self.close(1000, ""))

    async def close(self, code: int, reason: str, ended: Callable[[], None] = lambda: None) -> None:
        """Close the connection for good, and call `ended` at once; no task is left running afterwards."""
        check_close(code, reason)
        self.check_loop()
        self.feed(states.Close())
        # Taken now: what a connect() begins during the closing handshake must live on.
        transport, self._shutting = self._shutting, None
        tasks, writes = tuple(self._tasks.running), self._writes.detach()
        try:
            ended()
            async with self._closing:  # a second close() waits for the first one's closing handshake
                if transport is not None:
                    with suppress(TimeoutError):  # the peer does not answer it: aborted below
                        async with asyncio.timeout(self._close_timeout):
                            await transport.close(code, reason)
        finally:
            if transport is not None:
                with suppress(Exception):  # of a third party's transport
                    transport.abort()
            writes.break_off_all("the connection was closed by its owner")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def check_loop(self) -> None:
        """Raise `InvalidState` on a different event loop than the connection's, unless that one is closed."""
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            return
        if loop.is_closed():
            self._forget_closed_loop()
        elif self.life.state not in (State.DISCONNECTED, State.CLOSED):
            raise InvalidState(
                "the event loop that the connection was opened on",
                "another one",
                "await close() on that loop first, or make a connection for this one",
            )

    def _forget_closed_loop(self) -> None:
        """Drop all tasks and timers of an event loop that ended without `close`: they cannot run any more."""
        self._loop = self._timer = self._attempt = self._shutting = None
        self.transport = None
        self._closing = asyncio.Lock()
        self._events.clear()
        self._tasks.running.clear()
        self._callers.forget()
        self._writes.forget()
        self._requests.drop_all()
        self._dispatch.joins.forget_all()
        self._dispatch.drop()
        if self.life.state is not State.CLOSED:
            self._disconnect()

    def _disconnect(self) -> None:
        life = self.life
        self.life = replace(life, state=State.DISCONNECTED, generation=life.generation + 1, waiting=False)
        self._tell_state(life.state)

    def _tell_state(self, before: State) -> None:
        if self.life.state is not before and self._dispatch.wire.watchers:
            self._dispatch.wire.tell("client", "state", self.life.state.value)

    def feed(self, event: states.ConnectionEvent) -> None:
        """Apply one event to the state machine, and carry out what follows.

        An event that a handler causes waits until the present event has been carried out.
        If a handler, a watcher or a policy raises an interrupt (``KeyboardInterrupt`` or ``SystemExit``), the
        remaining actions are carried out first, and then it propagates.
        """
        events = self._events
        events.append(event)
        if len(events) > 1:
            return
        interrupt: BaseException | None = None

        def run(do: Callable[[Any], Any], argument: Any) -> Any:
            nonlocal interrupt
            try:
                return do(argument)
            except (KeyboardInterrupt, SystemExit) as error:
                interrupt = error
            except BaseException as error:
                try:
                    self._abandon(error)
                except BaseException as stop:  # an interrupt counts more than a further bug
                    interrupt = stop if interrupt is None or not isinstance(stop, Exception) else interrupt
            return None

        try:
            while events:
                before = self.life.state
                actions = run(self._decide, events[0])
                if actions is not None:
                    run(self._tell_state, before)
                    for action in actions:
                        run(self._carry_out, action)
                events.popleft()
        finally:
            events.clear()
        if interrupt is not None:
            raise interrupt

    def _decide(self, event: states.ConnectionEvent) -> tuple[states.ConnectionAction, ...]:
        try:
            self.life, actions = step(self.life, event, self._clock(), self._rng, self._policy)
        except (KeyboardInterrupt, SystemExit) as error:  # for example in a user-supplied backoff
            with suppress(Exception):  # a bug on the way: the interrupt counts more
                self._abandon(error)
            raise
        return actions

    def _abandon(self, error: BaseException) -> None:
        """After a bug, rtlab's or a policy's, become Disconnected rather than keep a wrong state."""
        reason = f"the next step could not be taken: {describe(error)}"
        self._cause = error
        self._carry_out(states.CancelTimer())
        for task in self._tasks.running - {asyncio.current_task()}:
            task.cancel()
        with ExitStack() as later:  # all that follows, even if a watcher or a handler raises an interrupt
            later.callback(self._give_up, reason)
            if self.transport is not None and self.opened is not None:
                told = states.TellDisconnected(1006, reason, clean=False, will_reconnect=False)
                later.callback(self._retire, told)
                later.callback(self.opened.abort)
            self._disconnect()

    def _carry_out(self, action: states.ConnectionAction) -> None:
        match action:
            case states.Open(generation):
                self._timer = None
                self._attempt = self.spawn(self._run(generation))
                self._attempt.add_done_callback(partial(self._attempt_ended, generation))
            case states.Schedule(generation, delay, attempt, reason):
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(delay, self.feed, states.TimerFired(generation))
                event = Reconnecting(at=self._clock(), attempt=attempt, delay=delay, reason=reason)
                self._dispatch.tell("reconnecting", event)
            case states.CancelTimer():
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = None
            case states.Discard():
                if self._attempt is not None:
                    self._attempt.cancel()
            case states.Shut():
                self._shutting = self.transport
            case states.TellConnected(attempt):
                self._announce(attempt)
            case states.TellDisconnected():
                self._retire(action)
            case states.GiveUp(reason):
                self._give_up(reason)

    # The course of one attempt

    async def _run(self, generation: int) -> None:
        attempt = self._make_attempt(self.spawn)
        try:
            attempt.ask_breaker()
            self.attempts += 1
            transport = await attempt.open()
            self.transport, self.opened = transport, attempt
            self.feed(states.Opened(generation))
            await attempt.listen(transport)
        except TransportClosed as error:
            self._ended(generation, error)
        except ConnectFailed as e:
            self._cause = e
            if self.life.state is State.CONNECTED:  # raised after `open`: the connection is lost
                self._ended(generation, TransportClosed(1006, str(e), reconnect=e.retryable))
            else:
                self.feed(states.Failed(generation, str(e), e.retryable, e.retry_after, e.attempts > 0))
        except Exception as error:
            # A bug in rtlab or in a transport: waiting callers must get the error; a retry would not help.
            self._cause = error
            self._ended(generation, TransportClosed(1006, describe(error), reconnect=False))
            self._dispatch.report("connect", f"the attempt broke: {describe(error)}", error=error)
        except BaseException as error:
            # After a Close event, cancellation comes from `close`, and `_ended` then does nothing. Otherwise
            # the loop is ending, other code cancels all tasks, or a handler raised an interrupt.
            self._ended(generation, TransportClosed(1006, f"stopped by {describe(error)}", reconnect=False))
            raise
        finally:
            attempt.abort()

    def _attempt_ended(self, generation: int, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before its first step: `_run` has not reported it then
            self._ended(generation, TransportClosed(1006, "stopped before it began", reconnect=False))

    def _ended(self, generation: int, error: TransportClosed) -> None:
        if generation != self.life.generation or self.life.state is State.CLOSED:
            return
        self._cause = self._cause or error
        again = error.reconnect if error.reconnect is not None else should_reconnect(error.code)
        if self.life.state is State.CONNECTED:
            hints = error.retry_after, error.reconnection_time
            self.feed(states.Lost(generation, error.code, error.reason, error.clean, again, *hints))
        else:
            self.feed(states.Failed(generation, str(error), again, error.retry_after))

    # Events for the owner

    def _announce(self, attempt: int) -> None:
        transport, opened = self.transport, self.opened
        assert transport is not None
        assert opened is not None
        self.connects += 1
        self._cause = None
        self._dispatch.position.confirming = transport.confirms
        try:
            event = Connected(
                resumed=opened.begin_session(transport),
                at=self._clock(),
                attempt=attempt,
                transport=transport.name,
                connect_time=opened.connect_time,
            )
            self._dispatch.tell("connected", event)
        finally:
            self._callers.succeed()
            if self.transport is transport:  # no handler has closed it
                self.follow(True)

    def _retire(self, told: states.TellDisconnected) -> None:
        transport, self.transport = self.transport, None
        if self.opened is not None:
            self.opened.end()
        if transport is not None:
            self._bytes = (self._bytes[0] + transport.bytes_in, self._bytes[1] + transport.bytes_out)
        self.disconnects += 1
        why = told.reason or told.code
        self._requests.fail_all(f"the connection ended before the answer came: {why}")
        self._dispatch.joins.forget_all()
        if self.life.state is not State.CLOSED:  # else `close` waits for the last writes first
            self._writes.break_off_all(f"the connection ended before the message was sent: {why}")
        event = Disconnected(
            at=self._clock(),
            code=told.code,
            reason=told.reason,
            clean=told.clean,
            will_reconnect=told.will_reconnect,
        )
        self.follow(False)
        if self.life.state is State.CLOSED:
            self._dispatch.finish(None)
        self._dispatch.tell("disconnected", event)

    def _give_up(self, reason: str) -> None:
        cause, self._cause = self._cause, None
        retries = self.life.retries
        text = reason if retries == 0 else f"gave up after {retries} retries: {reason}"
        self._callers.fail(text, cause, retries)
        if self.life.state is State.CLOSED:
            self._dispatch.finish(None)
            return
        self._dispatch.finish(ConnectionLost(f"the connection is lost, and not tried again: {reason}"))
        if self.attempts > 1:
            self._dispatch.report("connect", f"gave up: {reason}", code="gave_up", error=cause)
