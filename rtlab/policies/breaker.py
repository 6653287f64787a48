"""A circuit breaker: stop knocking at a door that does not open.

`Breaker` is the pure machine, ``(state, event, now) → state``. `CircuitBreaker` holds
one state for all connections to one origin, reads a clock, and announces changes.
"""

from __future__ import annotations

import math
import time
from enum import Enum
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rtlab.events import Emitter, ErrorEvent, Handler

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breaker", "BreakerChange", "BreakerState", "Circuit", "CircuitBreaker"]

_SLICES = 10  # a window forgets a tenth of itself at a time, so its memory is bounded


class Circuit(Enum):
    """The three states. Current flows when the circuit is *closed*."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class BreakerState(msgspec.Struct, frozen=True):
    """What a breaker remembers; times are those of the caller's clock.

    Parameters
    ----------
    circuit : Circuit
        Closed, open or half-open.
    opened_at : float
        When it last opened.
    consecutive : int
        Failures since the last success, while closed.
    slices : tuple of (int, int, int)
        Slice number, successes and failures of each slice of the window, oldest first.
    probes : tuple of float
        When each unanswered probe was let through, while half-open.
    succeeded : int
        Probes that succeeded since it was half-open.
    """

    circuit: Circuit = Circuit.CLOSED
    opened_at: float = -math.inf
    consecutive: int = 0
    slices: tuple[tuple[int, int, int], ...] = ()
    probes: tuple[float, ...] = ()
    succeeded: int = 0


class Breaker(msgspec.Struct, frozen=True):
    """When to open, and how to close again.

    Closed: all attempts pass. It opens after `failures` in a row, or when at least
    `rate` of the last `window` seconds' attempts failed. Open: none pass for
    `open_duration`. Half-open: `probes` pass; if all succeed it closes, if one fails it
    opens again. A probe that never reports is replaced after `open_duration`.

    Parameters
    ----------
    failures : int or None
        Failures in a row that open it; None: not counted.
    rate : float or None
        Share of failed attempts, in (0, 1], that opens it; None: not measured.
    window : float
        Seconds that `rate` looks back, give or take a tenth.
    min_attempts : int
        `rate` is not judged on fewer attempts.
    open_duration : float
        Seconds before the first probe.
    probes : int
        Attempts let through while half-open.

    Examples
    --------
    >>> breaker, state = Breaker(failures=2, open_duration=10), BreakerState()
    >>> for _ in range(2):
    ...     state = breaker.failure(state, now=0.0)
    >>> state.circuit.value, breaker.retry_at(state, now=0.0)
    ('open', 10.0)
    >>> breaker.allow(state, now=5.0)[1], breaker.allow(state, now=10.0)[1]
    (False, True)
    """

    failures: int | None = 5
    rate: float | None = None
    window: float = 30.0
    min_attempts: int = 10
    open_duration: float = 10.0
    probes: int = 1

    def __post_init__(self) -> None:
        if self.failures is None and self.rate is None:
            raise ValueError("expected failures, rate or both, got neither: it would never open")
        for name, ok, expected in (
            ("failures", self.failures is None or self.failures >= 1, ">= 1 or None"),
            ("rate", self.rate is None or 0 < self.rate <= 1, "in (0, 1] or None"),
            ("window", 0 < self.window < math.inf, "> 0, in finite seconds"),
            ("min_attempts", self.min_attempts >= 1, ">= 1"),
            ("open_duration", 0 < self.open_duration < math.inf, "> 0, in finite seconds"),
            ("probes", self.probes >= 1, ">= 1"),
        ):
            if not ok:
                raise ValueError(f"expected {name} {expected}, got {getattr(self, name)!r}")

    def allow(self, state: BreakerState, now: float) -> tuple[BreakerState, bool]:
        """Return the new state, and whether an attempt may start at `now`."""
        if state.circuit is Circuit.CLOSED:
            return state, True
        if state.circuit is Circuit.OPEN:
            if now < state.opened_at + self.open_duration:
                return state, False
            state = BreakerState(Circuit.HALF_OPEN, state.opened_at)
        waiting = tuple(at for at in state.probes if now < at + self.open_duration)
        if len(waiting) + state.succeeded >= self.probes:
            return replace(state, probes=waiting), False
        return replace(state, probes=(*waiting, now)), True

    def success(self, state: BreakerState, now: float) -> BreakerState:
        """Return the state after an attempt that succeeded."""
        if state.circuit is Circuit.CLOSED:
            return replace(state, consecutive=0, slices=self._counted(state, now, 1, 0))
        if state.circuit is Circuit.OPEN:
            return state  # an attempt from before it opened
        if state.succeeded + 1 >= self.probes:
            return BreakerState()
        return replace(state, succeeded=state.succeeded + 1, probes=state.probes[1:])

    def failure(self, state: BreakerState, now: float) -> BreakerState:
        """Return the state after an attempt that failed."""
        if state.circuit is Circuit.OPEN:
            return state
        if state.circuit is Circuit.CLOSED:
            slices = self._counted(state, now, 0, 1)
            state = replace(state, consecutive=state.consecutive + 1, slices=slices)
            if not self._tripped(state):
                return state
        return BreakerState(Circuit.OPEN, opened_at=now)

    def retry_at(self, state: BreakerState, now: float) -> float:
        """Return the earliest time at which `allow` can say yes."""
        if state.circuit is Circuit.CLOSED:
            return now
        if state.circuit is Circuit.OPEN:
            return max(now, state.opened_at + self.open_duration)
        if len(state.probes) + state.succeeded < self.probes:
            return now
        return max(now, min(state.probes) + self.open_duration)

    def _counted(
        self, state: BreakerState, now: float, successes: int, failures: int
    ) -> tuple[tuple[int, int, int], ...]:
        if self.rate is None:
            return ()
        current = math.floor(now / self.window * _SLICES)
        kept = tuple(entry for entry in state.slices if entry[0] > current - _SLICES)
        if kept and kept[-1][0] == current:
            _, old_successes, old_failures = kept[-1]
            return (*kept[:-1], (current, old_successes + successes, old_failures + failures))
        return (*kept, (current, successes, failures))

    def _tripped(self, state: BreakerState) -> bool:
        if self.failures is not None and state.consecutive >= self.failures:
            return True
        failed = sum(entry[2] for entry in state.slices)
        total = failed + sum(entry[1] for entry in state.slices)
        return self.rate is not None and total >= self.min_attempts and failed >= self.rate * total


class BreakerChange(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker went from one state to another.

    Parameters
    ----------
    at : float
        Seconds on the breaker's clock.
    before, after : Circuit
        The states.
    """

    at: float
    before: Circuit
    after: Circuit


class CircuitBreaker:
    """One breaker for all connections to one origin.

    Parameters
    ----------
    policy : Breaker or None
        When to open and close; None for `Breaker()`.
    clock : callable
        Returns seconds; monotonic.

    Examples
    --------
    >>> breaker = CircuitBreaker(Breaker(failures=1), clock=lambda: 0.0)
    >>> breaker.on("open", lambda change: print(change.before.value, "→", change.after.value))
    >>> breaker.record_failure()
    closed → open
    >>> breaker.allow()
    False
    """

    def __init__(self, policy: Breaker | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy or Breaker()
        self._clock = clock
        self._state = BreakerState()
        self._emitter = Emitter()

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.state.value}, {self.policy})"

    @property
    def state(self) -> Circuit:
        """Closed, open or half-open. An open one turns half-open when somebody asks `allow`."""
        return self._state.circuit

    @property
    def retry_at(self) -> float:
        """The earliest time, on the breaker's clock, at which `allow` can say yes."""
        return self.policy.retry_at(self._state, self._clock())

    @property
    def wait(self) -> float:
        """Seconds until the next probe may start: 0 unless the circuit is open."""
        return max(0.0, self.retry_at - self._clock()) if self.state is Circuit.OPEN else 0.0

    def on(self, name: str, handler: Handler) -> None:
        """Call `handler(change)` when the state becomes ``"open"``, ``"half-open"`` or ``"closed"``.

        A handler that raises becomes an ``"error"`` event (`ErrorEvent`).
        """
        self._emitter.on(name, handler)

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Forget one handler of `name`, or all of them."""
        self._emitter.off(name, handler)

    def allow(self) -> bool:
        """Whether an attempt may start now. Who hears True reports how it ended."""
        now = self._clock()
        state, allowed = self.policy.allow(self._state, now)
        self._become(state, now)
        return allowed

    def record_success(self) -> None:
        """Report an attempt that succeeded."""
        now = self._clock()
        self._become(self.policy.success(self._state, now), now)

    def record_failure(self) -> None:
        """Report an attempt that failed."""
        now = self._clock()
        self._become(self.policy.failure(self._state, now), now)

    def _become(self, state: BreakerState, now: float) -> None:
        before, self._state = self._state.circuit, state
        if state.circuit is before:
            return
        change = BreakerChange(at=now, before=before, after=state.circuit)
        for error in self._emitter.emit(state.circuit.value, change):
            told = ErrorEvent(
                at=now, source="handler", message=f"a breaker's handler raised: {error!r}", error=error
            )
            self._emitter.emit("error", told)
