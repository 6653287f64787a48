"""Which transport to open with, and when to try for a better one: decisions, without any I/O.

*Best first* tries WebSocket, then the others until one works: this costs one handshake on a
good network, and a whole deadline on a network that swallows the handshake. *Surest first*
opens with the transport that passes everywhere, and upgrades while messages flow: no message
waits, but every client makes the requests of two or three transports. Engine.IO does the
latter, and upgrades once; here, a client that fell back probes better transports regularly.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

__all__ = ["BEST_FIRST", "SUREST_FIRST", "ConnectOrder", "Strategy"]


class ConnectOrder(NamedTuple):
    """The order in which a connect tries the transports.

    Parameters
    ----------
    now : tuple of str
        Transports to try first, in this order.
    later : tuple of str
        Transports that failed before, to try when no other works: the network may have changed.
    """

    now: tuple[str, ...]
    later: tuple[str, ...]


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """How a client chooses among transports, whose names are given best first, surest last.

    Parameters
    ----------
    opens_with : {"best", "surest"}
        Which end of the list a connect begins with.
    reprobe_interval : float or None
        Mean seconds between two probes of the better transports, while a worse one
        works; None never probes, except once after opening with the surest.
    jitter : float
        Each wait is drawn uniformly from mean × (1 ± jitter), so that clients that lost
        WebSocket at the same time do not all probe at the same time.

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

    def opening(self, names: Sequence[str], blocked: Container[str]) -> ConnectOrder:
        """Return in which order to try when connecting.

        Parameters
        ----------
        names : sequence of str
            Best first.
        blocked : container of str
            Transports that failed before; ignored if it contains all of them.
        """
        order = tuple(names) if self.opens_with == "best" else tuple(reversed(names))
        later = tuple(name for name in order if name in blocked)
        if len(later) == len(order):
            return ConnectOrder(order, ())
        return ConnectOrder(tuple(name for name in order if name not in blocked), later)

    def better(self, names: Sequence[str], than: str) -> tuple[str, ...]:
        """Return the transports that are better than the one in use, best first."""
        return tuple(names[: names.index(than)])

    def wait(self, probes: int, rng: np.random.Generator) -> float | None:
        """Return the seconds until the next probe; None if there is to be none.

        Parameters
        ----------
        probes : int
            How often better transports were probed since this connection opened.
        rng : numpy.random.Generator
            The source of jitter.
        """
        if probes == 0 and self.opens_with == "surest":
            return 0.0
        if self.reprobe_interval is None:
            return None
        return float(self.reprobe_interval * rng.uniform(1 - self.jitter, 1 + self.jitter))


#: WebSocket first: a network that swallows its handshake costs one deadline.
BEST_FIRST: Final = Strategy()
#: Long polling first, then upgrades, as in Engine.IO: early first messages, but more requests.
SUREST_FIRST: Final = Strategy(opens_with="surest")
