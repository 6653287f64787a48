"""Requests that wait for their answers: unguessable ids, deadlines, and which messages are answers."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

import msgspec

from rtlab.errors import NotConnected, RequestRefused
from rtlab.protocol.http_status_and_retry_after import MAX_RETRY_AFTER
from rtlab.protocol.message_format import Message, fields_of

__all__ = ["Requests", "is_temporary", "published", "refusal_in", "unwrap"]

#: How many ids are made at once: the system call for random bytes is the slowest part of making one.
_IDS: Final = 64
#: Refusals that pass even if the server gives no hint when; ``blocked`` lasts while a member of the room does
#: not read.
_PASSING: Final = frozenset({"not_published", "blocked", "rate_limited", "busy"})


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
        """Return an id that nobody can guess, so that no other client can forge the answer to a request."""
        if not self._ids:
            # Nine random bytes each, which are twelve characters of base64. The ids are independent
            # of each other, because the whole room sees the ids of published messages.
            drawn = secrets.token_urlsafe(9 * _IDS)
            self._ids = [drawn[first : first + 12] for first in range(0, len(drawn), 12)]
        return self._ids.pop()

    def expect(self, request: Message, timeout: float) -> asyncio.Future[Message]:
        """Register a request that is about to be written; return the future of its answer.

        Parameters
        ----------
        request : Message
            The request; it must have an id.
        timeout : float
            Seconds until the future raises `TimeoutError`.
        """
        assert request.id is not None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Message] = loop.create_future()
        deadline = loop.time() + timeout
        self._pending[request.id] = _Pending(future, deadline, request.type, timeout)
        # One timer, at the earliest deadline: a timer per request would make a round trip
        # on loopback 10 % slower.
        if self._timer is None or deadline < self._timer.when():
            self._expire_at(deadline)
        return future

    def answer(self, message: Message) -> bool:
        """Give a message to the request that it answers; return whether such a request is open.

        The caller makes sure that the server itself sent the message; see `published`.
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
        """Let every open request raise `NotConnected`: whether the server handled it is unknown."""
        pending, self._pending = self._pending, {}
        for waiting in pending.values():
            if not waiting.future.done():
                waiting.future.set_exception(NotConnected(reason))
        self._stop_timer()

    def drop_all(self) -> None:
        """Drop all requests and the timer: their event loop is closed."""
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
    """Return whether a client published a message in a room: such a message answers no request.

    An rtlab server stamps each published message with the sender's name and an offset, and
    puts neither in its own answers.

    Parameters
    ----------
    message : Message
        A message from an rtlab server. Other servers have rules of their own.
    """
    return message.offset is not None or message.client_id is not None


def unwrap(answer: Message) -> Message:
    """Return an answer, or raise the error that it contains.

    Parameters
    ----------
    answer : Message
        A server's answer to a request.

    Returns
    -------
    Message
        The same message, unless it is an ``error``.

    Raises
    ------
    RequestRefused
        The answer is an ``error``; the exception has the server's text, code and hint.
    """
    if answer.type != "error":
        return answer
    raise refusal_in(fields_of(answer.payload), "the server refused")


def refusal_in(error: dict[str, Any], otherwise: str) -> RequestRefused:
    """Return the exception for the fields of a server's error.

    Parameters
    ----------
    error : dict
        ``message``, ``code`` and ``retryAfter``; any of them may be missing or of a wrong type.
    otherwise : str
        The text if there is no ``message``.

    Returns
    -------
    RequestRefused
        Its ``retry_after`` is at most `MAX_RETRY_AFTER`, like that of an HTTP answer.

    Examples
    --------
    >>> refusal_in({"code": "busy", "retryAfter": 1e15}, "refused").retry_after
    86400.0
    """
    hint = error.get("retryAfter")
    if not isinstance(hint, int | float) or isinstance(hint, bool) or not hint >= 0:
        hint = None
    return RequestRefused(
        str(error.get("message") or otherwise),
        str(error.get("code") or ""),
        retry_after=None if hint is None else float(min(hint, MAX_RETRY_AFTER)),
    )


def is_temporary(refusal: RequestRefused) -> bool:
    """Return whether the server may accept the same request later: it gave a hint, or the code says so.

    Examples
    --------
    >>> [is_temporary(refusal_in({"code": code}, "refused")) for code in ("busy", "forbidden")]
    [True, False]
    """
    return refusal.retry_after is not None or refusal.code in _PASSING
