"""Watchers of a connection's messages, pings and states."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from rtlab.client.delivery.repeats_and_gaps import Position
from rtlab.client.event_emitter import Listenable
from rtlab.client.transports.transport_interface import Transport
from rtlab.client.user_callback_errors import call, check_callback
from rtlab.errors import describe

__all__ = ["Watchable", "WireWatch", "WireWatcher"]

_log: Final = logging.getLogger("rtlab")

#: Called with ``(who, what, data)``; see `WireWatch`.
WireWatcher = Callable[[str, str, Any], object]


class WireWatch:
    """Reports to watchers what a connection sends and receives, and its changes of state.

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
        Empty for most connections. Callers of `tell` check this first, so that a connection
        without watchers pays for this check only.

    Examples
    --------
    >>> wire = WireWatch()
    >>> wire.add(print)
    >>> wire.tell("client", "state", "Connecting")
    client state Connecting
    """

    __slots__ = ("watchers",)

    def __init__(self) -> None:
        self.watchers: tuple[WireWatcher, ...] = ()

    def add(self, watcher: WireWatcher) -> None:
        """Call ``watcher(who, what, data)`` from now on."""
        check_callback(watcher, "a watcher")
        self.watchers = (*self.watchers, watcher)

    def remove(self, watcher: WireWatcher) -> None:
        """Remove a watcher. An unknown watcher is no error."""
        self.watchers = tuple(other for other in self.watchers if other != watcher)

    def tell(self, who: str, what: str, data: Any) -> None:
        """Call the watchers; an exception that one raises is logged and does not affect the connection.

        As with an `Emitter`, only ``KeyboardInterrupt`` and ``SystemExit`` propagate, and a watcher that an
        earlier one removes is not called any more.
        """
        watchers = self.watchers
        for watcher in watchers:
            if self.watchers is not watchers and watcher not in self.watchers:
                continue
            _, error = call(watcher, who, what, data)
            if error is not None:
                _log.warning("a watcher of the wire raised %s", describe(error))

    async def ping(self, transport: Transport) -> float:
        """Measure a transport's round trip in seconds, and report the ping and the pong."""
        if self.watchers:
            self.tell("client", "ping", None)
        seconds = await transport.ping()
        if self.watchers:
            self.tell("peer", "pong", seconds)
        return seconds


class Watchable(Listenable):
    """The part of a connection that observers use: its wire, its clock, its options and its rooms."""

    _wire: WireWatch
    _position: Position
    _options: Mapping[str, str]
    _clock: Callable[[], float]

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the connection's events; returns monotonic seconds."""
        return self._clock

    @property
    def options(self) -> Mapping[str, str]:
        """The connection's options in force, as Python code; no secrets."""
        return self._options

    def follows(self, room_id: str) -> bool:
        """Whether the connection is in a room, or joins it again after a reconnect."""
        return room_id in self._position.rooms

    def watch_wire(self, watcher: WireWatcher) -> None:
        """Call ``watcher(who, what, data)`` for each message, ping and state from now on.

        Parameters
        ----------
        watcher : callable
            A synchronous function; `WireWatch` lists its arguments.
        """
        self._wire.add(watcher)

    def unwatch_wire(self, watcher: WireWatcher) -> None:
        """Remove a watcher. An unknown watcher is no error."""
        self._wire.remove(watcher)
