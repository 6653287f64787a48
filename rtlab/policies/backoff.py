"""How long to wait before the next attempt: strategies of textbooks and of real clients.

The same frozen object serves one connection (`attempt` is a number) and a simulated
herd of 100,000 (`attempt` is an array). Each delay takes at most one uniform draw, so
with equal seeds both give the same delays.
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
    """The interface of a backoff strategy."""

    @property
    def max_attempts(self) -> int | None:
        """Attempts before giving up; None never gives up."""
        ...

    @property
    def min_uptime(self) -> float:
        """Seconds that a connection must last to reset the count of attempts to 0."""
        ...

    @overload
    def delay(self, attempt: int, previous: float, rng: np.random.Generator) -> float: ...
    @overload
    def delay(
        self, attempt: NDArray[Any], previous: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]: ...
    def delay(self, attempt: Any, previous: Any, rng: np.random.Generator) -> Any:
        """Return the seconds to wait before attempt number `attempt`, counted from 0.

        Parameters
        ----------
        attempt : int or array
            How many retries were made already.
        previous : float or array
            The delay before the last retry, in seconds; 0 before the first.
        rng : numpy.random.Generator
            The source of jitter.

        Returns
        -------
        float or array
            Seconds; ``inf`` means that the strategy has given up.
        """
        ...


def _check(condition: bool, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"expected {expected}, got {got!r}")


@dataclass(frozen=True, kw_only=True)
class _Policy:
    """The base class of all strategies: their metadata, and giving up.

    Parameters
    ----------
    max_attempts : int or None
        Attempts before giving up; None never gives up.
    min_uptime : float
        Seconds that a connection must last to reset the count of attempts to 0. With 0, a
        server that accepts and closes at once turns the client into a hot loop.
    source : str
        The software or publication that the strategy comes from.
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
        """Return the seconds to wait before attempt number `attempt`; see `Backoff.delay`."""
        # A numpy scalar for a single connection, because arrays without dimensions are slow.
        one = isinstance(attempt, (int, float))
        n: Any = np.float64(attempt) if one else np.asarray(attempt, dtype=np.float64)
        with np.errstate(over="ignore"):  # what overflows is inf, which the cap bounds
            seconds = self._seconds(n, previous, rng)
        if self.max_attempts is not None:
            seconds = np.where(n < self.max_attempts, seconds, np.inf)
        return seconds if n.ndim else float(seconds)


def _grown(base: float, cap: float, factor: float, n: NDArray[np.float64]) -> Any:
    """Return ``min(cap, base · factorⁿ)``; a power that overflows is inf, and gives the cap."""
    grown = base * factor**n
    return np.minimum(cap, grown) if n.ndim else min(cap, grown)


@dataclass(frozen=True)
class Constant(_Policy):
    """The same delay each time: clients that were disconnected together return together.

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
    """``step · (n + 1)``, which many tutorials call exponential.

    Parameters
    ----------
    step : float
        Seconds by which each delay exceeds the one before.
    """

    step: float = 1.0

    def _validate(self) -> None:
        _check(0 <= self.step < math.inf, "a finite step >= 0 s", self.step)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return self.step * (n + 1)


@dataclass(frozen=True)
class _Bounded(_Policy):
    """A strategy whose delays grow from `base` to `cap`, both in seconds."""

    base: float = 0.5
    cap: float = 30.0

    def _validate(self) -> None:
        ok = 0 < self.base <= self.cap < math.inf
        _check(ok, "0 < base <= cap, in finite seconds", (self.base, self.cap))


@dataclass(frozen=True)
class Exponential(_Bounded):
    """``min(cap, base · factorⁿ)``: without jitter, a spike of reconnects is delayed but not flattened.

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

    The minimum makes many delays equal to the cap: after many attempts about 38 % of them
    with base 1 s and cap 30 s, and 27 % with 5 ms and 2000 ms.

    Parameters
    ----------
    base, cap : float
        The shortest and the longest delay, in seconds.
    """

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        # No delay exceeds the cap; without the clip, a `previous` of inf would give nan.
        before = np.clip(previous, self.base, self.cap)
        return np.minimum(self.cap, self.base + (3 * before - self.base) * rng.random(n.shape))


@dataclass(frozen=True)
class Centrifuge(_Bounded):
    """``min(cap, base + U(0, min(cap, base · 2ⁿ)))``: full jitter that is never below `base`.

    Parameters
    ----------
    base, cap : float
        The shortest and the longest delay, in seconds.
    """

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        return np.minimum(self.cap, self.base + _grown(self.base, self.cap, 2.0, n) * rng.random(n.shape))


@dataclass(frozen=True)
class CapAfterJitter(_Bounded):
    """socket.io's ``min(cap, base · 2ⁿ · (1 ± jitter))``, which has no jitter at the cap.

    With socket.io's defaults even the shortest draw exceeds the cap from n = 4 on, so
    all clients wait exactly 5 s. The sign comes from the draw's first decimal (odd is
    plus), as in the backoff library that socket.io uses.

    Parameters
    ----------
    base, cap : float
        The first and the longest delay, in seconds.
    jitter : float
        The largest relative deviation, 0 to 1.
    """

    jitter: float = 0.5

    def _validate(self) -> None:
        super()._validate()
        _check(0 <= self.jitter <= 1, "0 <= jitter <= 1", self.jitter)

    def _seconds(self, n: NDArray[np.float64], previous: Any, rng: np.random.Generator) -> Any:
        draw = rng.random(n.shape)
        sign = np.where(np.floor(draw * 10) % 2, 1.0, -1.0)
        # This ceiling only avoids overflow: it is so high that every draw there exceeds the cap.
        growing = _grown(self.base, 1e6 * self.cap, 2.0, n)
        return np.minimum(self.cap, growing * (1 + sign * draw * self.jitter))


@dataclass(frozen=True)
class PythonSocketIO(_Bounded):
    """python-socketio's ``min(cap, base · 2ⁿ) + jitter · U(−1, 1)``, with the jitter in seconds.

    Parameters
    ----------
    base, cap : float
        The first and the longest delay before jitter, in seconds.
    jitter : float
        The largest deviation, in seconds; at most `base`, so that no delay is negative.
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

    RFC 6455 §7.2.3 asks for a random first delay, and gives 0 to 5 s as an example.

    Parameters
    ----------
    base, cap : float
        The second delay, and the longest later delay, in seconds.
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
    """A list of delays; the last one repeats until `max_attempts` is reached.

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

#: rtlab's default: full jitter, base 0.5 s, cap 30 s; the count of attempts is reset after 5 s of uptime.
DEFAULT: Final = FullJitter(base=0.5, cap=30.0, min_uptime=5.0, source=_BROOKER)

#: Strategies by name. Those of real clients have the client's own rule for resetting the count.
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
        3.0, 10.0, 1.3, min_uptime=5.0, source="partysocket, mean of a base drawn per page from 1 to 5 s"
    ),
    "eventsource_chrome": Constant(
        3.0, min_uptime=0.0, source="Chromium, EventSource default reconnect delay"
    ),
    "eventsource_firefox": Constant(
        5.0, min_uptime=0.0, source="Firefox, dom.server-events.default-reconnection-time"
    ),
}
