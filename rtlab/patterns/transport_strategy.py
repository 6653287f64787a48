"""Which transport to open with, and when to try for a better one: decisions, without any I/O.

*Best first* tries WebSocket, and goes down until something works: one handshake on a
good network, a deadline wasted on one that swallows it. *Surest first* opens with what
passes everywhere, and climbs while messages flow: nobody waits, but every client makes
the requests of two or three transports. Engine.IO does the latter, and climbs once; a
client that fell back climbs again every so often.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

__all__ = ["BEST_FIRST", "SUREST_FIRST", "Opening", "Strategy"]


class Opening(NamedTuple):
    """The order of a connect.

    Parameters
    ----------
    now : tuple of str
        What to try, in this order.
    later : tuple of str
        What is known not to work, for when nothing else does: the network may be another one by now.
    """

    now: tuple[str, ...]
    later: tuple[str, ...]


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """How a client chooses among transports, which are named best first, surest last.

    Parameters
    ----------
    opens_with : {"best", "surest"}
        Where it begins.
    reprobe_interval : float or None
        Mean seconds between two probes of the better transports, while a worse one
        works; None never probes, but for the first time after opening with the surest.
    jitter : float
        Each wait is drawn from within this share of the mean, up and down, so that
        clients that lost WebSocket together do not come back together.

    Examples
    --------
    >>> names = ("websocket", "sse", "longpoll")
    >>> SUREST_FIRST.opening(names, blocked=()).now
    ('longpoll', 'sse', 'websocket')
    >>> SUREST_FIRST.better(names, than="sse")
    ('websocket',)
    """

    opens_with: Literal["best", "surest"] = "best"
    reprobe_interval: float | None = 60.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.opens_with not in ("best", "surest"):
            raise ValueError(f'expected opens_with to be "best" or "surest", got {self.opens_with!r}')
        if self.reprobe_interval is not None and not 0 < self.reprobe_interval < float("inf"):
            raise ValueError(f"expected reprobe_interval > 0 seconds, or None, got {self.reprobe_interval!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"expected jitter from 0 to 1, got {self.jitter!r}")

    def opening(self, names: Sequence[str], blocked: Container[str]) -> Opening:
        """Return in which order to try when connecting.

        Parameters
        ----------
        names : sequence of str
            Best first.
        blocked : container of str
            Those that are known not to work. If that is said of all, it says nothing.
        """
        order = tuple(names) if self.opens_with == "best" else tuple(reversed(names))
        later = tuple(name for name in order if name in blocked)
        if len(later) == len(order):
            return Opening(order, ())
        return Opening(tuple(name for name in order if name not in blocked), later)

    def better(self, names: Sequence[str], than: str) -> tuple[str, ...]:
        """Return what is worth a probe while one transport works, best first."""
        return tuple(names[: names.index(than)])

    def wait(self, probes: int, rng: np.random.Generator) -> float | None:
        """Return the seconds until the next probe, None for no further one.

        Parameters
        ----------
        probes : int
            How often the better ones were probed since this connection opened.
        rng : numpy.random.Generator
            The source of jitter.
        """
        if probes == 0 and self.opens_with == "surest":
            return 0.0
        if self.reprobe_interval is None:
            return None
        return float(self.reprobe_interval * rng.uniform(1 - self.jitter, 1 + self.jitter))


#: WebSocket, else what works: a deadline is the price of a network that swallows it.
BEST_FIRST: Final = Strategy()
#: Long polling, then up, as Engine.IO does: first messages soon, more requests.
SUREST_FIRST: Final = Strategy(opens_with="surest")
