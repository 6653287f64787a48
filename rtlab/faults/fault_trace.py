"""A bounded record of what the fault proxy did, and to which connections.

A fault matters only when data were in flight. Every event about a connection
therefore has the number of bytes that were held back or lost at that moment.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

__all__ = ["Trace", "TraceEvent", "fingerprint"]

DEFAULT_LIMIT: Final = 20_000


class TraceEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action of the proxy, or its effect on one connection.

    Attributes
    ----------
    n : int
        Sequence number, without gaps; when the trace is full, the oldest events are dropped.
    t : float
        `time.monotonic()` of the proxy, which is common to all processes of
        one host.
    kind : str
        ``toxic_added``, ``toxic_updated``, ``toxic_removed``, ``proxy_up``,
        ``proxy_down``, ``script_started``, ``script_step``, ``script_ended``
        (actions); ``opened``, ``affected``, ``ended``, ``released``,
        ``upstream_failed`` (effects).
    proxy, toxic : str
        Names of the proxy and toxic concerned; empty for none.
    connection : int
        Number of the connection, counted per proxy from 1 (0: none).
    direction : str
        ``"upstream"``, ``"downstream"`` or empty.
    bytes : int
        Bytes held back by the proxy at this moment, or lost with the
        connection.
    detail : str
        Further details, for people.
    """

    n: int
    t: float
    kind: str
    proxy: str = ""
    toxic: str = ""
    connection: int = 0
    direction: str = ""
    bytes: int = 0
    detail: str = ""


class Trace:
    """A ring buffer of the latest events.

    Parameters
    ----------
    limit : int
        How many events are kept.
    clock : callable
        Returns the time of an event, in seconds.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._events: deque[TraceEvent] = deque(maxlen=limit)
        self._clock = clock
        self._next = 0

    def add(
        self,
        kind: str,
        proxy: str = "",
        *,
        toxic: str = "",
        connection: int = 0,
        direction: str = "",
        bytes: int = 0,
        detail: str = "",
    ) -> None:
        self._events.append(
            TraceEvent(self._next, self._clock(), kind, proxy, toxic, connection, direction, bytes, detail)
        )
        self._next += 1

    @property
    def next(self) -> int:
        """Number that the next event will have."""
        return self._next

    @property
    def dropped(self) -> int:
        """How many events were dropped because the ring buffer was full."""
        return self._next - len(self._events)

    def since(self, n: int = 0) -> list[TraceEvent]:
        """Events from number `n` on, oldest first."""
        skip = max(0, n - self.dropped)
        return list(self._events)[skip:]


def fingerprint(events: Iterable[TraceEvent]) -> list[tuple[str, str, str, int, str, str]]:
    """Return the part of a trace that two runs with the same seed and script have in common.

    Times and byte counts are measurements, so they are left out. What was
    done, to which connection, and in which order, must be equal.
    """
    return [(e.kind, e.proxy, e.toxic, e.connection, e.direction, e.detail) for e in events]
