"""How long to wait before the next attempt: the textbook's answers, and real clients'.

One frozen object answers for one connection (`attempt` is a number) and for a
simulated herd of 100,000 (`attempt` is an array). Each delay takes at most one
uniform draw, so with equal seeds the two agree draw for draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "DEFAULT",
    "PRESETS",
    "Backoff",
    "CapAfterJitter",
    "Centrifuge",
    "Constant",
    "Decorrelated",
    "EqualJitter",
    "Exponential",
    "FirstJittered",
    "FullJitter",
    "Linear",
    "PythonSocketIO",
    "Table",
]


class Backoff(Protocol):
    """What a reconnect policy must be able to say."""

    @property
    def max_attempts(self) -> int | None:
        """Attempts before giving up; None means never."""
        ...

    @property
    def min_uptime(self) -> float:
        """Seconds that a connection must hold before the count starts again from 0."""
        ...

    @overload
    def delay(self, attempt: int, previous: float, rng: np.random.Generator) -> float: ...
    @overload
    def delay(
        self, attempt: NDArray[Any], previous: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]: ...
    def delay(self, attempt: Any, previous: Any, rng: np.random.Generator) -> Any:
        """Seconds to wait before attempt number `attempt`, counted from 0.

        Parameters
        ----------
        attempt : int or array
            Retries that were made already.
        previous : float or array
            The delay before the last retry, in seconds; 0 before the first.
        rng : numpy.random.Generator
            The source of jitter.

        Returns
        -------
        float or array
            Seconds; ``inf`` means *never*: the policy has given up.
        """
        ...


def _check(condition: bool, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"expected {expected}, got {got!r}")


@dataclass(frozen=True, kw_only=True)
class _Policy:
    """What all policies share: the metadata, and giving up.

    Parameters
    ----------
    max_attempts : int or None
        Attempts before giving up; None means never.
    min_uptime : float
        Seconds that a connection must hold before the count starts again. 0 is
        *reset on open*, which turns an accept-then-close server into a hot loop.
    source : str
        Where the strategy comes from.
    """

    max_attempts: int | None = None
    min_uptime: float = 5.0
    source: str = ""

    def __post_init__(self) -> None:
        _check(self.max_attempts is None or self.max_attempts >= 0, "max_attempts >= 0", self.max_attempts)
        _check(0 <= self.min_uptime < math.inf, "a finite min_uptime >= 0 s", self.min_uptime)
        self._validate()

    def _validate(self) -> None: ...

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def delay(self, attempt: Any, previous: Any, rng: np.random.Generator) -> Any:
        """Seconds to wait before attempt number `attempt`: see `Backoff.delay`."""
        # numpy's own scalar: a connection asks for one delay, and arrays without dimensions are slow.
        one = isinstance(attempt, (int, float))
        n: Any = np.float64(attempt) if one else np.asarray(attempt, dtype=np.float64)
        seconds = self._seconds(n, previous, rng)
        if self.max_attempts is not None:
            seconds = np.where(n < self.max_attempts, seconds, np.inf)
        return seconds if n.ndim else float(seconds)


def _grown(base: float, cap: float, factor: float, n: NDArray[np.float64]) -> Any:
    """``min(cap, base · factorⁿ)``; n stops where the cap is reached, so nothing overflows."""
    enough = math.ceil(math.log(cap / base, factor)) + 1
    if not n.ndim:
        return min(cap, base * factor ** min(float(n), enough))
    return np.minimum(cap, base * np.power(factor, np.minimum(n, enough)))


@dataclass(frozen=True)
class Constant(_Policy):
    """The same delay each time: a herd that fell together returns together.

    Parameters
    ----------
    seconds : float
        The delay.
    """

    seconds: float = 1.0

    def _validate(self) -> None:
        _check(0 <= self.seconds < math.inf, "a finite delay >= 0 s", self.seconds)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return np.full_like(n, self.seconds)


@dataclass(frozen=True)
class Linear(_Policy):
    """``step · (n + 1)``: called exponential in many tutorials.

    Parameters
    ----------
    step : float
        Seconds added each time.
    """

    step: float = 1.0

    def _validate(self) -> None:
        _check(0 <= self.step < math.inf, "a finite step >= 0 s", self.step)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return self.step * (n + 1)


@dataclass(frozen=True)
class _Bounded(_Policy):
    """A policy that grows from `base` to `cap`, both in seconds."""

    base: float = 0.5
    cap: float = 30.0

    def _validate(self) -> None:
        ok = 0 < self.base <= self.cap < math.inf
        _check(ok, "0 < base <= cap, in finite seconds", (self.base, self.cap))


@dataclass(frozen=True)
class Exponential(_Bounded):
    """``min(cap, base · factorⁿ)``: without jitter the spike moves, it does not shrink.

    Parameters
    ----------
    base : float
        Seconds before the first retry.
    cap : float
        The longest delay, in seconds.
    factor : float
        Growth from one retry to the next, above 1.

    Examples
    --------
    >>> Exponential(base=0.5, cap=30).delay(3, 0.0, np.random.default_rng())
    4.0
    """

    factor: float = 2.0

    def _validate(self) -> None:
        super()._validate()
        _check(1 < self.factor < math.inf, "a finite factor > 1", self.factor)

    def _ceiling(self, n: NDArray[np.float64]) -> Any:
        return _grown(self.base, self.cap, self.factor, n)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return self._ceiling(n)


@dataclass(frozen=True)
class FullJitter(Exponential):
    """``U(0, c)`` with ``c = min(cap, base · factorⁿ)`` (Brooker, AWS Architecture Blog, 2015).

    Examples
    --------
    >>> 0 <= FullJitter(base=0.5, cap=30).delay(3, 0.0, np.random.default_rng(1)) < 4
    True
    """

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return self._ceiling(n) * rng.random(n.shape or None)


@dataclass(frozen=True)
class EqualJitter(Exponential):
    """``c/2 + U(0, c/2)`` with ``c = min(cap, base · factorⁿ)`` (Brooker, 2015)."""

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return self._ceiling(n) * (0.5 + 0.5 * rng.random(n.shape or None))


@dataclass(frozen=True)
class Decorrelated(_Bounded):
    """``min(cap, U(base, 3 · previous))``, starting from ``previous = base`` (Brooker, 2015).

    The minimum puts an atom at the cap: about 38 % of all late delays are exactly
    the cap with 1/30 s, 27 % with 5/2000 ms.

    Parameters
    ----------
    base, cap : float
        The shortest and the longest delay, in seconds.
    """

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        # Nobody can have waited longer than the cap: without this, inf would give nan.
        before = np.clip(previous, self.base, self.cap)
        return np.minimum(self.cap, self.base + (3 * before - self.base) * rng.random(n.shape))


@dataclass(frozen=True)
class Centrifuge(_Bounded):
    """``min(cap, base + U(0, min(cap, base · 2ⁿ)))``: full jitter, never below `base`.

    Parameters
    ----------
    base, cap : float
        The shortest and the longest delay, in seconds.
    """

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return np.minimum(self.cap, self.base + _grown(self.base, self.cap, 2.0, n) * rng.random(n.shape))


@dataclass(frozen=True)
class CapAfterJitter(_Bounded):
    """socket.io's ``min(cap, base · 2ⁿ · (1 ± jitter))``, where the jitter vanishes at the cap.

    From n = 4 on even the shortest draw of the default exceeds the cap, and all
    clients wait exactly 5 s. The sign comes from the draw's first decimal (odd is
    plus), as in the backoff library that socket.io uses.

    Parameters
    ----------
    base, cap : float
        The first and the longest delay, in seconds.
    jitter : float
        The largest relative deviation, in [0, 1].
    """

    jitter: float = 0.5

    def _validate(self) -> None:
        super()._validate()
        _check(0 <= self.jitter <= 1, "0 <= jitter <= 1", self.jitter)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        draw = rng.random(n.shape)
        sign = np.where(np.floor(draw * 10) % 2, 1.0, -1.0)
        # A ceiling for overflow only, far enough that every draw there exceeds the cap.
        growing = _grown(self.base, 1e6 * self.cap, 2.0, n)
        return np.minimum(self.cap, growing * (1 + sign * draw * self.jitter))


@dataclass(frozen=True)
class PythonSocketIO(_Bounded):
    """python-socketio's ``min(cap, base · 2ⁿ) + jitter · U(−1, 1)``: seconds, not a share.

    Parameters
    ----------
    base, cap : float
        The first and the longest delay before jitter, in seconds.
    jitter : float
        The largest deviation, in seconds; at most `base`, or a delay could be negative.
    """

    jitter: float = 0.5

    def _validate(self) -> None:
        super()._validate()
        _check(0 <= self.jitter <= self.base, "0 <= jitter <= base, in seconds", self.jitter)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return _grown(self.base, self.cap, 2.0, n) + self.jitter * (2 * rng.random(n.shape) - 1)


@dataclass(frozen=True)
class FirstJittered(Exponential):
    """The `websockets` package's ``U(0, first)``, then ``min(cap, base · factorⁿ⁻¹)``.

    RFC 6455 section 7.2.3 asks for a random first delay, and gives 0 to 5 s as an example.

    Parameters
    ----------
    base, cap : float
        The second and the longest later delay, in seconds.
    factor : float
        Growth from one retry to the next, above 1.
    first : float
        The longest first delay, in seconds.
    """

    first: float = 5.0

    def _validate(self) -> None:
        super()._validate()
        _check(0 <= self.first < math.inf, "a finite first delay >= 0 s", self.first)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        first = self.first * rng.random(n.shape)
        return np.where(n == 0, first, self._ceiling(np.maximum(n - 1, 0)))


@dataclass(frozen=True)
class Table(_Policy):
    """A list of delays; the last one repeats unless `max_attempts` ends it.

    Parameters
    ----------
    delays : tuple of float
        Seconds before attempts 0, 1, 2, …
    """

    delays: tuple[float, ...] = (1.0,)

    def _validate(self) -> None:
        ok = bool(self.delays) and all(0 <= d < math.inf for d in self.delays)
        _check(ok, "at least one delay, each finite and >= 0 s", self.delays)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return np.take(np.array(self.delays), n.astype(np.intp), mode="clip")


_BROOKER = "Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015"
_PHOENIX = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)

#: rtlab's own: full jitter from 0.5 s to 30 s, counted from 0 again after 5 s of uptime.
DEFAULT: Final = FullJitter(base=0.5, cap=30.0, min_uptime=5.0, source=_BROOKER)

#: Strategies by name. Real clients keep their own rule of when the count starts again.
PRESETS: Final[Mapping[str, Backoff]] = {
    "constant": Constant(1.0, source="textbook"),
    "linear": Linear(
        1.0, max_attempts=5, min_uptime=0.0, source="many tutorials, where it is called exponential"
    ),
    "exponential": Exponential(0.5, 30.0, source="textbook"),
    "full_jitter": DEFAULT,
    "equal_jitter": EqualJitter(0.5, 30.0, source=_BROOKER),
    "decorrelated": Decorrelated(1.0, 30.0, source=_BROOKER),
    "centrifuge": Centrifuge(
        0.5, 20.0, min_uptime=0.0, source="centrifuge-js, minReconnectDelay and maxReconnectDelay"
    ),
    "socketio": CapAfterJitter(1.0, 5.0, 0.5, min_uptime=0.0, source="socket.io-client, its backo2"),
    "python_socketio": PythonSocketIO(1.0, 5.0, 0.5, min_uptime=0.0, source="python-socketio, Client"),
    "phoenix": Table(_PHOENIX, min_uptime=0.0, source="phoenix.js, Socket.reconnectAfterMs"),
    "signalr": Table((0.0, 2.0, 10.0, 30.0), max_attempts=4, min_uptime=0.0, source="@microsoft/signalr"),
    "websockets": FirstJittered(3.1, 90.0, 1.618, 5.0, min_uptime=0.0, source="websockets, client.backoff"),
    "partysocket": Exponential(
        3.0, 10.0, 1.3, min_uptime=5.0, source="partysocket, its ReconnectingWebSocket"
    ),
    "eventsource_chrome": Constant(
        3.0, min_uptime=0.0, source="Chromium, EventSource default reconnect delay"
    ),
    "eventsource_firefox": Constant(
        5.0, min_uptime=0.0, source="Firefox, dom.server-events.default-reconnection-time"
    ),
}
