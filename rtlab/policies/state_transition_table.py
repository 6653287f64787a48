"""The table of a connection's state transitions: ``(state, event, now) → (state, actions)``.

This module opens no socket and reads no clock. `rtlab.client.transition_action_runner` feeds events in and
carries out the returned actions. So the same table drives a real connection, a simulated
one, the tests, and the drawing in the notebook. The events and actions are defined in
`rtlab.policies.state_machine_types`.

Every attempt has a *generation*, a number that only grows. An event of an older
generation changes nothing, so the late close of an old socket can never start a
second reconnect loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import numpy as np

from rtlab.policies.retry_limits_and_server_hints import RetryPolicy
from rtlab.policies.state_machine_types import (
    CancelTimer,
    Close,
    Connect,
    ConnectionAction,
    ConnectionEvent,
    Discard,
    Failed,
    GiveUp,
    Lost,
    Open,
    Opened,
    ReconnectNow,
    Schedule,
    Shut,
    State,
    TellConnected,
    TellDisconnected,
    TimerFired,
)

__all__ = ["TABLE", "Lifecycle", "TransitionRow", "step"]


class Lifecycle(msgspec.Struct, frozen=True):
    """The whole state of one connection's state machine.

    Parameters
    ----------
    state : State
        The connection's state.
    generation : int
        The number of the newest attempt.
    attempt : int
        Retries since the last stable connection, including those that were held back.
    previous : float
        The backoff's last delay in seconds, which decorrelated jitter needs.
    waiting : bool
        Whether the retry timer runs; if not, in Reconnecting, an attempt is in progress.
    opened_at : float
        When the present connection opened, in seconds on the caller's clock.
    held_back : int
        Retries since the last stable connection that a circuit breaker held back.
    """

    state: State = State.DISCONNECTED
    generation: int = 0
    attempt: int = 0
    previous: float = 0.0
    waiting: bool = False
    opened_at: float = 0.0
    held_back: int = 0

    @property
    def retries(self) -> int:
        """Retries made since the last stable connection, without those that were held back."""
        return max(0, self.attempt - self.held_back)


class _Step(NamedTuple):
    """The arguments of one call of `step`, for guards and effects."""

    life: Lifecycle
    event: ConnectionEvent
    now: float
    rng: np.random.Generator
    policy: RetryPolicy


_Effect = Callable[[_Step, Lifecycle], tuple[Lifecycle, tuple[ConnectionAction, ...]]]


# Guards


def _may_retry(step: _Step) -> bool:
    life, event, policy = step.life, step.event, step.policy
    wanted = event.retryable if isinstance(event, Failed) else isinstance(event, Lost) and event.reconnect
    if _was_held_back(step):
        return wanted
    return wanted and policy.allows(0 if _was_stable(step) else life.retries)


def _may_retry_again(step: _Step) -> bool:
    return _dialling(step) and _may_retry(step)


def _may_retry_first(step: _Step) -> bool:
    return step.policy.retry_initial and _may_retry(step)


def _waiting(step: _Step) -> bool:
    return step.life.waiting


def _dialling(step: _Step) -> bool:
    return not step.life.waiting


def _was_held_back(step: _Step) -> bool:
    return isinstance(step.event, Failed) and not step.event.made


def _was_stable(step: _Step) -> bool:
    return isinstance(step.event, Lost) and step.policy.was_stable(step.now - step.life.opened_at)


# Effects


def _start(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    fresh = msgspec.structs.replace(
        life, generation=life.generation + 1, attempt=0, previous=0.0, waiting=False, held_back=0
    )
    return fresh, (Open(fresh.generation),)


def _dial(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    return msgspec.structs.replace(life, waiting=False), (Open(life.generation),)


def _dial_early(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    return msgspec.structs.replace(life, waiting=False), (CancelTimer(), Open(life.generation))


def _opened(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    return msgspec.structs.replace(life, opened_at=step.now), (TellConnected(life.attempt),)


def _schedule(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    event, policy = step.event, step.policy
    assert isinstance(event, Failed | Lost)
    if _was_stable(step):
        life = msgspec.structs.replace(life, attempt=0, previous=0.0, held_back=0)
    attempt, previous = life.attempt, life.previous
    drawn = policy.draw(attempt, previous, step.rng)
    reconnection_time = event.reconnection_time if isinstance(event, Lost) else None
    delay = policy.with_hints(drawn, event.retry_after, reconnection_time, step.rng)
    after = msgspec.structs.replace(
        life,
        generation=life.generation + 1,
        attempt=attempt + 1,
        previous=drawn,
        waiting=True,
        held_back=life.held_back + _was_held_back(step),
    )
    told = _told(event, will_reconnect=True)
    return after, (*told, Schedule(after.generation, delay, after.attempt, event.reason))


def _give_up(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    event = step.event
    assert isinstance(event, Failed | Lost)
    return life, (*_told(event, will_reconnect=False), GiveUp(event.reason))


def _told(event: Failed | Lost, *, will_reconnect: bool) -> tuple[ConnectionAction, ...]:
    if isinstance(event, Lost):
        return (TellDisconnected(event.code, event.reason, event.clean, will_reconnect),)
    return ()


def _discard(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    return life, (Discard(life.generation), GiveUp("closed by its owner"))


def _stop_waiting(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    return msgspec.structs.replace(life, waiting=False), (CancelTimer(), GiveUp("closed by its owner"))


def _shut(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    told = TellDisconnected(1000, "closed by its owner", clean=True, will_reconnect=False)
    return life, (Shut(life.generation), told)


def _nothing(step: _Step, life: Lifecycle) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    return life, ()


class TransitionRow(NamedTuple):
    """One transition of the table.

    Parameters
    ----------
    state : State
        The state in which the transition applies.
    event : type
        The event that triggers it.
    then : State
        The state afterwards.
    effect : callable
        Returns the new `Lifecycle` and the actions.
    guard : callable or None
        Returns whether the transition applies; None: it always does.
    label : str
        The guard in words, for the drawing.
    """

    state: State
    event: type[ConnectionEvent]
    then: State
    effect: _Effect
    guard: Callable[[_Step], bool] | None = None
    label: str = ""


_D, _C, _O, _R, _X = (
    State.DISCONNECTED,
    State.CONNECTING,
    State.CONNECTED,
    State.RECONNECTING,
    State.CLOSED,
)

#: The first row that matches applies. A pair of state and event without a row changes nothing.
TABLE: Final[tuple[TransitionRow, ...]] = (
    TransitionRow(_D, Connect, _C, _start),
    TransitionRow(_D, Close, _X, _nothing),
    TransitionRow(_X, Connect, _C, _start),
    TransitionRow(_C, Opened, _O, _opened),
    TransitionRow(_C, Failed, _R, _schedule, _may_retry_first, "first connects are retried"),
    TransitionRow(_C, Failed, _D, _give_up),
    TransitionRow(_C, Close, _X, _discard),
    TransitionRow(_O, Lost, _R, _schedule, _may_retry, "the code allows it, attempts are left"),
    TransitionRow(_O, Lost, _D, _give_up),
    TransitionRow(_O, Close, _X, _shut),
    TransitionRow(_R, TimerFired, _R, _dial, _waiting, "the delay is over"),
    TransitionRow(_R, ReconnectNow, _R, _dial_early, _waiting, "a delay is running"),
    TransitionRow(_R, Opened, _O, _opened, _dialling, "an attempt is under way"),
    TransitionRow(_R, Failed, _R, _schedule, _may_retry_again, "worth another try, attempts are left"),
    TransitionRow(_R, Failed, _D, _give_up, _dialling, "an attempt was under way"),
    TransitionRow(_R, Close, _X, _stop_waiting, _waiting, "a delay is running"),
    TransitionRow(_R, Close, _X, _discard, _dialling, "an attempt is under way"),
)

_ROWS: Final[dict[tuple[State, type[ConnectionEvent]], tuple[TransitionRow, ...]]] = {
    key: tuple(row for row in TABLE if (row.state, row.event) == key)
    for key in {(row.state, row.event) for row in TABLE}
}


def step(
    life: Lifecycle, event: ConnectionEvent, now: float, rng: np.random.Generator, policy: RetryPolicy
) -> tuple[Lifecycle, tuple[ConnectionAction, ...]]:
    """Apply one event.

    Parameters
    ----------
    life : Lifecycle
        The state before.
    event : ConnectionEvent
        What happened.
    now : float
        When it happened, in seconds on the caller's monotonic clock.
    rng : numpy.random.Generator
        The source of the backoff's jitter.
    policy : RetryPolicy
        Whether and when to retry.

    Returns
    -------
    life : Lifecycle
        The state after.
    actions : tuple of ConnectionAction
        The actions to carry out, in order.

    Examples
    --------
    >>> from rtlab.policies.backoff import DEFAULT
    >>> rng = np.random.default_rng(7)
    >>> life, actions = step(Lifecycle(), Connect(), 0.0, rng, RetryPolicy(DEFAULT))
    >>> life.state.value, actions
    ('Connecting', (Open(generation=1),))
    """
    generation = getattr(event, "generation", life.generation)
    if generation != life.generation:
        return life, ()
    context = _Step(life, event, now, rng, policy)
    for row in _ROWS.get((life.state, type(event)), ()):
        if row.guard is None or row.guard(context):
            after, actions = row.effect(context, life)
            return msgspec.structs.replace(after, state=row.then), actions
    return life, ()
