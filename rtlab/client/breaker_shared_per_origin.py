"""One circuit breaker for all connections to one origin: the policy with a clock and change events."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from rtlab.client.event_emitter import Emitter, ErrorEvent, Handler
from rtlab.errors import describe
from rtlab.policies.circuit_breaker import Breaker, BreakerState, Circuit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BreakerChange", "CircuitBreaker"]

_log: Final = logging.getLogger("rtlab")


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
        """Closed, open or half-open. An open breaker becomes half-open only in a call of `allow`."""
        return self._state.circuit

    @property
    def retry_at(self) -> float:
        """The earliest time, in seconds on the breaker's clock, at which `allow` can return True."""
        return self.policy.retry_at(self._state, self._clock())

    @property
    def wait(self) -> float:
        """Seconds until the next probe may start: 0 unless the circuit is open."""
        return max(0.0, self.retry_at - self._clock()) if self.state is Circuit.OPEN else 0.0

    def on(self, name: str, handler: Handler) -> None:
        """Call `handler(change)` when the state becomes ``"open"``, ``"half-open"`` or ``"closed"``.

        An exception that a handler raises becomes an ``"error"`` event (`ErrorEvent`); it is logged if
        nobody listens to ``"error"``.
        """
        self._emitter.on(name, handler)

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Forget one handler of `name`, or all of them."""
        self._emitter.off(name, handler)

    def allow(self) -> bool:
        """Whether an attempt may start now; after True, the caller must record its success or failure."""
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
            text = f"a breaker's handler raised {describe(error)}"
            if "error" not in self._emitter.names:
                _log.warning("%s", text)
            told = ErrorEvent(at=now, source="handler", message=text, error=error)
            for raised in self._emitter.emit("error", told):
                _log.warning("an error handler raised %s", describe(raised))
