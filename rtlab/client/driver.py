"""Carries out what `policies.state_machine` decides: attempts, one timer, orderly ends.

The state machine is pure; here its actions meet tasks and clocks. Each `ConnectionAttempt`
runs in one task, which feeds back what happened.

Whatever ends that task (a lost connection, a bug, a cancellation from outside, an
interrupt in a handler), the state machine is told, so that the state is true, and all
who wait (`connect`, requests, writes, iterators) are woken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from rtlab.client.cancellable_writes import Writes
from rtlab.client.connect_callers import ConnectCallers
from rtlab.client.connection_attempt import ConnectionAttempt, Spawn
from rtlab.client.events import Connected, Disconnected, Reconnecting
from rtlab.client.message_dispatch import Inbox
from rtlab.client.requests import Requests
from rtlab.client.transports.base import Transport
from rtlab.errors import ConnectFailed, ConnectionLost, InvalidState, TransportClosed, describe
from rtlab.policies import states_and_events as states
from rtlab.policies.reconnect_policy import RetryPolicy
from rtlab.policies.state_machine import Lifecycle, step
from rtlab.protocol.close_codes import check_close, should_reconnect

__all__ = ["Driver"]

State = states.State
_OPENING_STATES: Final = (State.CONNECTING, State.RECONNECTING)


class Driver:
    """Keeps one connection alive.

    Parameters
    ----------
    make_attempt : callable
        Makes a fresh `ConnectionAttempt`, given what runs its tasks.
    inbox : Inbox
        Takes what transports receive, and tells events.
    requests : Requests
        Fails with the connection.
    writes : Writes
        Broken off when the connection ends.
    policy : Policy
        When to try again.
    close_timeout : float
        Seconds for an orderly close.
    clock : callable
        Monotonic seconds.
    rng : numpy.random.Generator
        The source of jitter.

    Attributes
    ----------
    transport : Transport or None
        The one that is open, None without.
    opened : ConnectionAttempt or None
        The newest that opened its transport, None before the first.
    attempts, connects, disconnects : int
        Attempts to connect, connections opened, and connections lost so far.
    follow : callable
        Told of each connection that has opened (True) or ended (False).
    """

    def __init__(
        self,
        make_attempt: Callable[[Spawn], ConnectionAttempt],
        inbox: Inbox,
        requests: Requests,
        writes: Writes,
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
        self._inbox = inbox
        self._requests = requests
        self._writes = writes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._policy = policy
        self._close_timeout = close_timeout
        self._clock = clock
        self._rng = rng
        self._events: deque[states.Event] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._attempt: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._shutting: Transport | None = None
        self._closing = asyncio.Lock()
        self._callers = ConnectCallers()
        self._cause: BaseException | None = None

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
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
        if self.life.state not in _OPENING_STATES:
            self._loop = asyncio.get_running_loop()
            self._cause = None
            self._callers.start()
            self._inbox.start()
        await self._callers.wait(lambda: self.feed(states.Connect()), lambda: self.close(1000, ""))

    async def close(self, code: int, reason: str) -> None:
        """End for good; nothing is left running afterwards."""
        check_close(code, reason)
        self.check_loop()
        self.feed(states.Close())
        transport, self._shutting = self._shutting, None
        tasks = tuple(self._tasks)  # not those of a connect() that is called while this one waits
        try:
            async with self._closing:  # a second call waits for the first one's closing handshake
                if transport is not None:
                    async with asyncio.timeout(self._close_timeout):
                        await transport.close(code, reason)
        except TimeoutError:
            pass  # the peer does not answer: aborted below
        finally:
            if transport is not None:
                transport.abort()
            self._writes.break_off_all("the connection was closed by its owner")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def check_loop(self) -> None:
        """Raise `InvalidState` on another event loop than the connection's; forget one that is closed."""
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
        """Drop everything that belonged to a loop that ended without `close`: nothing of it runs any more."""
        self._loop = self._timer = self._attempt = self._shutting = None
        self.transport = None
        self._closing = asyncio.Lock()
        self._events.clear()
        self._tasks.clear()
        self._callers.forget()
        self._writes.forget()
        self._requests.drop_all()
        self._inbox.forget_joins()
        self._inbox.drop()
        if self.life.state is not State.CLOSED:
            self._disconnect()

    def _disconnect(self) -> None:
        life = self.life
        self.life = replace(life, state=State.DISCONNECTED, generation=life.generation + 1, waiting=False)
        self._tell_state(life.state)

    def _tell_state(self, before: State) -> None:
        if self.life.state is not before and self._inbox.wire.watchers:
            self._inbox.wire.tell("client", "state", self.life.state.value)

    def feed(self, event: states.Event) -> None:
        """Apply one event to the state machine, and carry out what follows.

        When a handler causes the event, what is under way is carried out first. All
        actions are carried out, also when a handler raises an interrupt, which then
        gets through.
        """
        events = self._events
        events.append(event)
        if len(events) > 1:
            return
        interrupt: BaseException | None = None
        try:
            while events:
                for action in self._decide(events[0]):
                    try:
                        self._carry_out(action)
                    except Exception as error:
                        self._abandon(error)
                    except BaseException as error:
                        interrupt = error
                events.popleft()
        finally:
            events.clear()
        if interrupt is not None:
            raise interrupt

    def _decide(self, event: states.Event) -> tuple[states.Action, ...]:
        before = self.life.state
        try:
            self.life, actions = step(self.life, event, self._clock(), self._rng, self._policy)
        except Exception as error:  # a backoff of the user's, say
            self._abandon(error)
            return ()
        self._tell_state(before)
        return actions

    def _abandon(self, error: Exception) -> None:
        """End in Disconnected after a bug, ours or a policy's, rather than in a state that is not true."""
        reason = f"the next step could not be taken: {describe(error)}"
        self._cause = error
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._disconnect()
        transport = self.transport
        try:
            if transport is not None:
                transport.abort()
                self._retire(states.TellDisconnected(1006, reason, clean=False, will_reconnect=False))
        finally:
            self._give_up(reason)

    def _carry_out(self, action: states.Action) -> None:
        match action:
            case states.Open(generation):
                self._timer = None
                self._attempt = self.spawn(self._run(generation))
            case states.Schedule(generation, delay, attempt, reason):
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(delay, self.feed, states.TimerFired(generation))
                event = Reconnecting(at=self._clock(), attempt=attempt, delay=delay, reason=reason)
                self._inbox.tell("reconnecting", event)
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

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that `close` cancels and awaits."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as read: an interrupt has come out of the loop already

    # How an attempt went

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
            # A bug, ours or a transport's: waiters must hear of it, a retry would not help.
            self._cause = error
            text = describe(error)
            self._ended(generation, TransportClosed(1006, text, reconnect=False))
            self._inbox.report("connect", f"the attempt broke: {text}", error=error)
        except BaseException as error:
            # Our own cancellations come after a Close event, and then this changes nothing.
            # Others: the loop ends, somebody cancels all tasks, or an interrupt in a handler.
            self._ended(generation, TransportClosed(1006, f"stopped by {describe(error)}", reconnect=False))
            raise
        finally:
            attempt.abort()

    def _ended(self, generation: int, error: TransportClosed) -> None:
        if generation != self.life.generation or self.life.state is State.CLOSED:
            return
        if self._cause is None:
            self._cause = error
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
        self._inbox.position.confirming = transport.confirms
        try:
            resumed = opened.begin_session(transport)
            event = Connected(
                at=self._clock(),
                attempt=attempt,
                transport=transport.name,
                resumed=resumed,
                connect_time=opened.connect_time,
            )
            self._inbox.tell("connected", event)
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
        self._inbox.forget_joins()
        if self.life.state is not State.CLOSED:  # else `close` lets the last writes go out first
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
            self._inbox.finish(None)
        self._inbox.tell("disconnected", event)

    def _give_up(self, reason: str) -> None:
        cause, self._cause = self._cause, None
        retries = self.life.retries
        text = reason if retries == 0 else f"gave up after {retries} retries: {reason}"
        self._callers.fail(text, cause, retries)
        if self.life.state is State.CLOSED:
            self._inbox.finish(None)
            return
        self._inbox.finish(ConnectionLost(f"the connection is lost, and not tried again: {reason}"))
        if self.attempts > 1:
            self._inbox.report("connect", f"gave up: {reason}", code="gave_up", error=cause)
