"""A circuit breaker, which stops attempts to a failing server, as a pure state machine.

`rtlab.client.breaker_shared_per_origin.CircuitBreaker` runs it with a clock.
"""

from __future__ import annotations

import math
from enum import Enum

import msgspec
from msgspec.structs import replace

__all__ = ["Breaker", "BreakerState", "Circuit"]

_SLICES = 10  # the window is counted in ten slices, so its memory is bounded


class Circuit(Enum):
    """The three states. As in an electric circuit, attempts pass while it is *closed*."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class BreakerState(msgspec.Struct, frozen=True):
    """The state of a breaker; times are in seconds on the caller's clock.

    Parameters
    ----------
    circuit : Circuit
        Closed, open or half-open.
    opened_at : float
        When the circuit last opened.
    consecutive : int
        Failures since the last success, while closed.
    slices : tuple of (int, int, int)
        The number, successes and failures of each slice of the window, oldest first.
    probes : tuple of float
        The start of each probe without an outcome yet, while half-open.
    succeeded : int
        Probes that have succeeded since the circuit became half-open.
    """

    circuit: Circuit = Circuit.CLOSED
    opened_at: float = -math.inf
    consecutive: int = 0
    slices: tuple[tuple[int, int, int], ...] = ()
    probes: tuple[float, ...] = ()
    succeeded: int = 0


class Breaker(msgspec.Struct, frozen=True):
    """The rules by which a circuit breaker opens and closes.

    Closed: all attempts pass. The circuit opens after `failures` in a row, or when at least
    the share `rate` of the last `window` seconds' attempts failed. Open: no attempt passes for
    `open_duration`. Half-open: `probes` attempts pass; if all succeed the circuit closes, if one
    fails it opens again. A probe without an outcome is replaced after `open_duration`.

    Parameters
    ----------
    failures : int or None
        Failures in a row that open the circuit; None ignores them.
    rate : float or None
        The share of failed attempts, above 0 and up to 1, that opens the circuit; None ignores it.
    window : float
        The seconds over which `rate` is measured, to within a tenth.
    min_attempts : int
        The fewest attempts in the window on which `rate` is judged.
    open_duration : float
        Seconds from opening to the first probe.
    probes : int
        Attempts that may pass while the circuit is half-open.

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
            return state  # an attempt that started before the circuit opened
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
        """Return the earliest time at which `allow` can return True."""
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
