"""Periodic work of a server: expiry of sessions and rooms, and whatever else asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rtlab.server.connection_registry import Connections
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.server.sessions.session_registry_and_expiry import Sessions

__all__ = ["Upkeep"]

TICK: Final = 0.25

_log = logging.getLogger(__name__)


class Upkeep:
    """Expires sessions and rooms, and does further periodic work, four times a second.

    Parameters
    ----------
    connections, sessions, hub : Connections, Sessions, Hub
        The server's connections, sessions and rooms.
    """

    def __init__(
        self,
        connections: Connections,
        sessions: Sessions,
        hub: Hub,
    ) -> None:
        self._connections = connections
        self._sessions = sessions
        self._hub = hub
        self._actions: list[Callable[[], object]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, action: Callable[[], object]) -> None:
        """Add a function that is called at each tick."""
        self._actions.append(action)

    def start(self) -> None:
        """Begin, on the running loop."""
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def stop(self) -> None:
        """Stop the periodic work."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self._tick()
            except Exception:
                # A failing tick must not end the expiry of sessions for good.
                _log.exception("the upkeep failed; it goes on")

    def _tick(self) -> None:
        for session in self._sessions.expired():
            self._connections.end(session)
        self._hub.sweep()
        for action in self._actions:
            action()
