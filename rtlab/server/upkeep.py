"""What has to be done regularly: expiry, heartbeats, and the announcement of who is there."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rtlab.server.connections import Connections
from rtlab.server.rooms.hub import Hub
from rtlab.server.sessions import Sessions
from rtlab.server.sinks.base import Sink

__all__ = ["Announcer", "Upkeep"]

TICK: Final = 0.25
#: Arrivals and departures within this time are announced together.
PRESENCE_DELAY: Final = 0.02

_log = logging.getLogger(__name__)


class Upkeep:
    """Looks after sessions, rooms and quiet connections, four times a second.

    Parameters
    ----------
    connections, sessions, hub : Connections, Sessions, Hub
        What it looks after.
    heartbeat : float or None
        Seconds between the heartbeats of connections.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        connections: Connections,
        sessions: Sessions,
        hub: Hub,
        heartbeat: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._connections = connections
        self._sessions = sessions
        self._hub = hub
        self._heartbeat = heartbeat
        self._clock = clock
        self._actions: list[Callable[[], object]] = []
        self._task: asyncio.Task[None] | None = None
        # The connections of this round that have not had their heartbeat.
        self._to_beat: deque[Sink] = deque()
        self._beats = 0
        self._due = 0.0

    def add(self, action: Callable[[], object]) -> None:
        """Do something else each time, too."""
        self._actions.append(action)

    def start(self) -> None:
        """Begin, on the running loop."""
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        heartbeat = self._heartbeat
        last = self._clock()
        while True:
            await asyncio.sleep(min(TICK, heartbeat or TICK))
            try:
                self._tick()
                if heartbeat:
                    now = self._clock()
                    self._beat((now - last) / heartbeat)
                    last = now
            except Exception:
                # A bug here must not stop sessions from expiring for good.
                _log.exception("the upkeep failed; it goes on")

    def _beat(self, share: float) -> None:
        """Let a share of all connections have their heartbeat: one after the other, never all at once."""
        if not self._to_beat:
            self._to_beat.extend(self._connections.sinks)
            self._beats = len(self._to_beat)
            self._due = 0.0
        self._due += share * self._beats
        while self._due >= 1 and self._to_beat:
            self._due -= 1
            sink = self._to_beat.popleft()
            if sink in self._connections.sinks:
                sink.heartbeat()

    def _tick(self) -> None:
        for session in self._sessions.expired():
            self._connections.end(session)
        self._hub.sweep()
        for action in self._actions:
            action()


class Announcer:
    """Announces who is in the rooms, a moment after something changed.

    Parameters
    ----------
    announce : callable
        Tells all rooms.
    """

    def __init__(self, announce: Callable[[], object]) -> None:
        self._announce = announce
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Note that there is something to announce."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PRESENCE_DELAY, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._announce()

    def stop(self) -> None:
        """Announce nothing more."""
        if self._timer is not None:
            self._timer.cancel()
