"""Joins rooms again whose rejoin the server has refused for now, as a rate limit does after a reconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rtlab.client.pending_requests_and_answers import is_temporary
from rtlab.client.received_message_dispatch import MessageDispatch
from rtlab.errors import MessageError, NotConnected, RequestRefused

__all__ = ["RejoinRetries"]

#: Seconds until the first retry, if the server gave no hint over 0; they double with each retry of a room.
_PAUSE: Final = 0.1
#: With the next refusal, a room is left: 51 s after the first one, if the server gives no hints.
_MAX_RETRIES: Final = 9
#: The most seconds between two rooms after one was joined. The hint of a limit on messages says how long one
#: message must wait; the next room, asked about at once, would be refused too.
_SPACING: Final = 1.0


class RejoinRetries:
    """The rooms that one connection is still to join again, one at a time.

    No room is asked about during the pause that the newest refusal asks for: a server ends a session that
    goes on in spite of its refusals.

    Parameters
    ----------
    dispatch : MessageDispatch
        Knows which rooms are followed, and leaves those that the server does not take this client back to.
    join : callable
        Joins a room, and raises the errors of `Connection.join_room`.
    start : callable
        Runs a coroutine function as a task whose owner cancels and awaits it.
    """

    def __init__(
        self,
        dispatch: MessageDispatch,
        join: Callable[[str], Awaitable[object]],
        start: Callable[[Callable[[], Awaitable[None]]], asyncio.Task[None]],
    ) -> None:
        self._dispatch = dispatch
        self._join = join
        self._start = start
        self._retries: dict[str, int] = {}  # by room; in the order in which they are asked about
        self._pause = 0.0
        self._task: asyncio.Task[None] | None = None

    def add(self, room_id: str, error: RequestRefused | MessageError | TimeoutError) -> None:
        """Join a room again after the error's hint, or leave it for good after too many retries."""
        retries = self._retries.pop(room_id, 0)
        if retries >= _MAX_RETRIES:
            self._dispatch.put_out(room_id, error)
            return
        hint = None if isinstance(error, TimeoutError) else error.retry_after
        self._pause = hint or _PAUSE * 2**retries
        self._retries[room_id] = retries + 1
        if self._task is None or self._task.done():
            self._task = self._start(self._run)

    def end(self) -> None:
        """Stop: the connection has ended, and the next one joins the rooms again."""
        self._retries.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._retries:
            await asyncio.sleep(self._pause)
            room_id = next(iter(self._retries))
            if room_id not in self._dispatch.position.unconfirmed():  # left, or joined by the application
                del self._retries[room_id]
                continue
            try:
                await self._join(room_id)
            except NotConnected:
                # Lost in a move to another transport. If the connection has ended, this is cancelled.
                self._pause = _SPACING
                continue
            except RequestRefused as error:
                if is_temporary(error):
                    self.add(room_id, error)
                    continue
                # A final refusal: the dispatch has left the room, and told the application.
            except (MessageError, TimeoutError) as error:
                self.add(room_id, error)
                continue
            self._retries.pop(room_id, None)
            self._pause = min(self._pause, _SPACING)
