"""Counts a server's TCP connections, and closes idle ones before the file descriptors run out.

A process without free descriptors cannot even accept a connection to refuse it: the client sees a reset
without any reason. So some descriptors are reserved for connections that are answered 503.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from aiohttp.web import RequestHandler

from rtlab.processes.descriptor_limit import nofile

__all__ = ["TcpConnections", "descriptor_reserve"]

#: One in this many descriptors is reserved.
_RESERVE_SHARE: Final = 4

#: Seconds before an idle connection may be closed: a request, or the last answer, may be on the way.
_IDLE_SECONDS: Final = 1.0

#: Seconds that a busy loop may need from accepting a connection to starting its handler.
_BEGUN_SECONDS: Final = 1.0

#: Seconds between two checks for connections that have ended.
_LOOK_SECONDS: Final = 0.02


def descriptor_reserve() -> int:
    """Return how many descriptors this process reserves."""
    return nofile() // _RESERVE_SHARE


class TcpConnections:
    """Makes the handler of each connection, and closes idle ones when there are too many.

    Parameters
    ----------
    make : callable
        Makes a connection's HTTP handler.
    living : callable
        Returns the handlers whose connection has not ended.
    clock : callable
        Seconds, monotonic.
    most : int
        Connections that may be open. Further ones are accepted only to be answered 503.
    pending : float
        Seconds for which `living` may not name an accepted connection yet: during its TLS handshake.

    Attributes
    ----------
    most : int
        Connections that may be open.
    """

    def __init__(
        self,
        make: Callable[[], RequestHandler],
        living: Callable[[], Sequence[RequestHandler]],
        clock: Callable[[], float],
        most: int,
        pending: float = 0.0,
    ) -> None:
        self._make = make
        self._living = living
        self._clock = clock
        self.most = most
        self._pending = pending
        self._spare = max(1, descriptor_reserve() // 2)
        self._looked = clock()
        self._open: set[RequestHandler] = set()
        # Connections without a request in progress, and since when; the longest idle first.
        self._idle: dict[RequestHandler, float] = {}
        self._spoken: set[RequestHandler] = set()
        self._surplus: set[RequestHandler] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __call__(self) -> RequestHandler:
        """Return the handler of a connection that was just accepted."""
        now = self._clock()
        if len(self._open) >= self.most and now - self._looked > _LOOK_SECONDS:
            self._look(now)
        if len(self._open) >= self.most:
            self._shed(now)
        handler = self._make()
        if len(self._open) >= self.most:
            self._surplus.add(handler)
        self._open.add(handler)
        self._idle[handler] = now
        return handler

    def begin(self, handler: RequestHandler) -> bool:
        """Note that a request has come; return whether its connection is one too many."""
        self._spoken.add(handler)
        self._idle.pop(handler, None)
        return handler in self._surplus

    def end(self, handler: RequestHandler) -> None:
        """Note that a request was answered."""
        if handler in self._open:
            self._idle[handler] = self._clock()

    def drop_silent(self, seconds: float) -> None:
        """Close connections that did not finish the headers of a first request in this time."""
        now = self._clock()
        self._look(now)
        self._drop([h for h, since in self._idle.items() if h not in self._spoken and now - since > seconds])

    def _look(self, now: float) -> None:
        self._looked = now
        gone = self._open.difference(self._living())
        since = now - max(self._pending, _BEGUN_SECONDS)
        self._forget([handler for handler in gone if handler in self._spoken or self._idle[handler] < since])

    def _shed(self, now: float) -> None:
        """Make room: close connections that have been idle for a while, the oldest first, until it suffices.

        A connection that has just come is not closed but answered, with a 503 if it exceeds the limit. Only
        when half the reserve is in use is the longest idle one closed, however short its idle time.
        """
        if len(self._surplus) >= self._spare:
            self._drop(list(islice(self._idle, 1)))
        while self._idle and len(self._open) >= self.most:
            handler, since = next(iter(self._idle.items()))
            if now - since <= _IDLE_SECONDS:
                return
            self._drop([handler])

    def _drop(self, handlers: list[RequestHandler]) -> None:
        for handler in handlers:
            handler.force_close()
        self._forget(handlers)

    def _forget(self, handlers: list[RequestHandler]) -> None:
        for handler in handlers:
            self._idle.pop(handler, None)
        for known in (self._open, self._spoken, self._surplus):
            known.difference_update(handlers)
