"""Who watches what goes over a connection's transports, and in which state the connection is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from rtlab.client.events import Listenable
from rtlab.client.transports.base import Transport
from rtlab.errors import describe

__all__ = ["Watchable", "Watcher", "WireWatch"]

_log: Final = logging.getLogger("rtlab")

#: Told ``(who, what, data)``: see `WireWatch`.
Watcher = Callable[[str, str, Any], object]


class WireWatch:
    """Tells watchers what a connection sends, receives and is.

    =========  =============  =======================================================
    who        what           data
    =========  =============  =======================================================
    client     ``"message"``  the `Message`, just before it is written
    peer       ``"message"``  the `Message`, before repeats and gaps are looked for
    client     ``"ping"``     None
    peer       ``"pong"``     seconds of the round trip
    client     ``"state"``    the name of the new state, before its events are told
    =========  =============  =======================================================

    Attributes
    ----------
    watchers : tuple of callable
        Empty for most connections: whoever has something to tell looks here first, which
        is all that it costs.

    Examples
    --------
    >>> wire = WireWatch()
    >>> wire.add(print)
    >>> wire.tell("client", "state", "Connecting")
    client state Connecting
    """

    __slots__ = ("watchers",)

    def __init__(self) -> None:
        self.watchers: tuple[Watcher, ...] = ()

    def add(self, watcher: Watcher) -> None:
        """Call ``watcher(who, what, data)`` from now on."""
        self.watchers = (*self.watchers, watcher)

    def remove(self, watcher: Watcher) -> None:
        """Forget a watcher. An unknown one is no error."""
        self.watchers = tuple(other for other in self.watchers if other != watcher)

    def tell(self, who: str, what: str, data: Any) -> None:
        """Call the watchers; one that raises is logged, and harms no connection."""
        for watcher in self.watchers:
            try:
                watcher(who, what, data)
            except Exception as error:
                _log.warning("a watcher of the wire raised %s", describe(error))

    async def ping(self, transport: Transport) -> float:
        """Return the seconds of a transport's round trip, and tell the ping and its answer."""
        if self.watchers:
            self.tell("client", "ping", None)
        seconds = await transport.ping()
        if self.watchers:
            self.tell("peer", "pong", seconds)
        return seconds


class Watchable(Listenable):
    """The part of a connection that others look at, without taking part: its wire and its options."""

    _wire: WireWatch
    _options: Mapping[str, str]
    _clock: Callable[[], float]

    @property
    def clock(self) -> Callable[[], float]:
        """What the times of its events are read from, in monotonic seconds."""
        return self._clock

    @property
    def options(self) -> Mapping[str, str]:
        """What is in force of the connection's options, as Python would write it; nothing secret."""
        return self._options

    def watch_wire(self, watcher: Watcher) -> None:
        """Call ``watcher(who, what, data)`` for each message, ping and state from now on.

        Parameters
        ----------
        watcher : callable
            Synchronous; `WireWatch` says what it is told.
        """
        self._wire.add(watcher)

    def unwatch_wire(self, watcher: Watcher) -> None:
        """Forget a watcher. An unknown one is no error."""
        self._wire.remove(watcher)
