"""Notices a room that has gone quiet because the server dropped the subscription.

Heartbeats check the connection, which stays healthy without the subscription: pings are
answered, and no message comes, as in a room where nobody speaks. So the probe asks the server
about the room itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from rtlab.client.connection import Connection
from rtlab.client.user_callback_errors import call, check_callback
from rtlab.errors import MessageError, NotConnected, RequestRefused, describe
from rtlab.protocol.message_format import Message

__all__ = ["LostSubscriptionProbe"]

_log: Final = logging.getLogger("rtlab")


class LostSubscriptionProbe:
    """Asks the server, once per interval, whether this client is still in its quiet rooms.

    A dropped subscription is noticed within two intervals: the connection joins the room again
    and raises ``resync``; the messages that the room's history still holds follow. Rooms with a
    message since the last probe are not asked about: busy rooms cost nothing. An error that concerns
    one room is logged, and the others are asked about all the same. A probe without an answer within the
    connection's `request_timeout` is logged too; after two of them in a row, the others wait for the next
    interval, because the path itself may be silent.

    Parameters
    ----------
    conn : Connection
        A connection over any transport.
    rooms : callable
        Returns the rooms to probe: those that the connection is in. An exception that it raises is logged.
    interval : float
        Seconds between two probes, above 0.

    Examples
    --------
    >>> async def watch(conn: Connection) -> None:
    ...     await conn.join_room("lobby")
    ...     async with LostSubscriptionProbe(conn, lambda: ["lobby"], interval=15):
    ...         await asyncio.sleep(3600)
    """

    def __init__(self, conn: Connection, rooms: Callable[[], Iterable[str]], interval: float = 15.0) -> None:
        if not 0 < interval < float("inf"):
            raise ValueError(f"expected interval > 0 in finite seconds, got {interval!r}")
        check_callback(rooms, "rooms")
        self._conn = conn
        self._rooms = rooms
        self._interval = interval
        self._heard: set[str] = set()
        self._last: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._task
        self.stop()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    def start(self) -> None:
        """Start probing, on the running loop; does nothing if it has been started."""
        if self._task is None or self._task.done() or self._task.get_loop().is_closed():
            self._conn.off("*", self._hear)
            self._conn.on("*", self._hear)
            self._task = asyncio.get_running_loop().create_task(self._run(), name="quiet-link probe")

    def stop(self) -> None:
        """Stop probing."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._conn.off("*", self._hear)

    def _hear(self, message: Message) -> None:
        if message.room_id is not None and message.offset is not None:
            self._heard.add(message.room_id)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            heard, self._heard = self._heard, set()
            rooms, error = call(lambda: [*self._rooms()])
            if error is not None:
                _log.warning("the rooms to probe are unknown: %s", describe(error))
            timeouts = 0  # in a row
            for room_id in self._in_turn(rooms or []):
                try:
                    if room_id not in heard:
                        await self._ask(room_id)
                        timeouts = 0
                except NotConnected:
                    break  # no other room can be asked about; the connection reconnects by itself
                except TimeoutError as error:
                    _log.warning("room %.80r could not be probed: %s", room_id, describe(error))
                    timeouts += 1
                    if timeouts == 2:
                        self._last = room_id
                        break  # the path may be silent, which the connection's heartbeat deals with
                except Exception as error:  # else the probe would end unseen, or the rooms behind it wait
                    _log.warning("room %.80r could not be probed: %s", room_id, describe(error))
                    timeouts = 0

    def _in_turn(self, rooms: list[str]) -> list[str]:
        """Begin behind the room at which the last round ended early: else two rooms would hide all others."""
        rooms = list(dict.fromkeys(rooms))
        after = rooms.index(self._last) + 1 if self._last in rooms else 0
        self._last = None
        return rooms[after:] + rooms[:after]

    async def _ask(self, room_id: str) -> None:
        # The connection has reported a final refusal: a `resync` without an epoch. After a temporary one, the
        # next probe asks again.
        with suppress(RequestRefused):
            try:
                await self._conn.join_room(room_id, probe=True, will_repeat=True)
            except MessageError as error:
                if error.retry_after is None:  # else it cannot be sent yet, and the next probe repeats it
                    raise
