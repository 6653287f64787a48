"""Requests that wait for their answers: ids that cannot be guessed, deadlines, and who may answer."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import msgspec

from rtlab.errors import NotConnected, RequestRefused
from rtlab.protocol.messages import Message, fields_of

__all__ = ["Requests", "published", "unwrap"]

#: Ids made at once: asking the system for random bytes takes longer than all else about one.
_IDS: Final = 64


class _Pending(msgspec.Struct):
    """A request that waits for its answer until `deadline`, on the loop's clock."""

    future: asyncio.Future[Message]
    deadline: float
    type: str
    timeout: float


class Requests:
    """The open requests of one connection."""

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ids: list[str] = []

    def __len__(self) -> int:
        return len(self._pending)

    def new_id(self) -> str:
        """Return an id that nobody can guess, so that nobody else can answer a request."""
        if not self._ids:
            # Nine bytes each, which are twelve characters of base64. Nothing of one tells the
            # next: those of published messages are known to the room.
            drawn = secrets.token_urlsafe(9 * _IDS)
            self._ids = [drawn[first : first + 12] for first in range(0, len(drawn), 12)]
        return self._ids.pop()

    def expect(self, request: Message, timeout: float) -> asyncio.Future[Message]:
        """Return a future of the answer to a request that is about to be written.

        Parameters
        ----------
        request : Message
            It must have an id.
        timeout : float
            Seconds until the future raises `TimeoutError`.
        """
        assert request.id is not None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Message] = loop.create_future()
        deadline = loop.time() + timeout
        self._pending[request.id] = _Pending(future, deadline, request.type, timeout)
        # One timer, at the earliest deadline: a timer per request would add a tenth
        # to a round trip on loopback.
        if self._timer is None or deadline < self._timer.when():
            self._expire_at(deadline)
        return future

    def answer(self, message: Message) -> bool:
        """Give a message to the request that it answers; return whether there was one.

        The caller makes sure that the server sent it, see `published`.
        """
        waiting = self._pending.pop(message.id or "", None)
        if waiting is None or waiting.future.done():
            return False
        waiting.future.set_result(message)
        return True

    def forget(self, ident: str) -> None:
        """Stop waiting for an answer."""
        self._pending.pop(ident, None)

    def fail_all(self, reason: str) -> None:
        """Answer every open request with `NotConnected`: its outcome is unknown."""
        pending, self._pending = self._pending, {}
        for waiting in pending.values():
            if not waiting.future.done():
                waiting.future.set_exception(NotConnected(reason))
        self._stop_timer()

    def drop_all(self) -> None:
        """Drop what belongs to an event loop that is closed."""
        self._pending.clear()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire_at(self, when: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for ident, waiting in tuple(self._pending.items()):
            if waiting.deadline <= now:
                del self._pending[ident]
                if not waiting.future.done():
                    error = TimeoutError(f"no answer to {waiting.type!r} within {waiting.timeout:g} s")
                    waiting.future.set_exception(error)
        if self._pending:
            self._expire_at(min(waiting.deadline for waiting in self._pending.values()))


def published(message: Message) -> bool:
    """Return whether a message was published in a room, by whoever: it answers no request.

    Our server stamps each such message with the sender's name and an offset, and no answer
    of its own with either.

    Parameters
    ----------
    message : Message
        From a server of ours. Others have rules of their own.
    """
    return message.offset is not None or message.client_id is not None


def unwrap(answer: Message) -> Message:
    """Return an answer, or raise what it says.

    Parameters
    ----------
    answer : Message
        A server's answer to a request.

    Returns
    -------
    Message
        The same, unless it is an ``error``.

    Raises
    ------
    RequestRefused
        With the server's words.
    """
    if answer.type != "error":
        return answer
    detail = fields_of(answer.payload)
    hint = detail.get("retryAfter")
    raise RequestRefused(
        str(detail.get("message", "the server refused")),
        str(detail.get("code", "")),
        retry_after=float(hint) if isinstance(hint, int | float) else None,
    )
