"""Makes sure that a session's POST is handled once, even if it arrives twice.

Some proxies, and some HTTP libraries, repeat a request that gets no answer. A client that
numbers its POSTs (``Idempotency-Key``, draft-ietf-httpapi-idempotency-key-header; here an
increasing number) is safe: a repeated POST gets the answer to the first one.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

__all__ = ["PostAnswer", "PostDeduplication"]

_DIGITS: Final = 20


class PostAnswer(NamedTuple):
    """The response to a POST."""

    status: int
    body: bytes


class PostDeduplication:
    """The newest POST of one session and its answer; a client sends one POST at a time.

    Examples
    --------
    >>> posts = PostDeduplication()
    >>> posts.number("17"), posts.number("no number")
    (17, None)
    """

    __slots__ = ("_answer", "_newest")

    def __init__(self) -> None:
        self._newest = -1
        self._answer: asyncio.Future[PostAnswer | None] | PostAnswer | None = None

    @staticmethod
    def number(key: str) -> int | None:
        """Return the number in an ``Idempotency-Key``; None for a key that is not a number."""
        return int(key) if key.isascii() and key.isdigit() and len(key) <= _DIGITS else None

    def begin(self, number: int) -> bool:
        """Whether a POST is new; if so, `settle` must follow."""
        if number <= self._newest:
            return False
        former, self._newest, self._answer = self._answer, number, None
        if isinstance(former, asyncio.Future) and not former.done():
            former.set_result(None)
        return True

    def settle(self, number: int, answer: PostAnswer) -> None:
        """Store the answer to a POST, and pass it to the repeats that wait for it."""
        if number != self._newest:
            return
        waiting, self._answer = self._answer, answer
        if isinstance(waiting, asyncio.Future) and not waiting.done():
            waiting.set_result(answer)

    async def answer(self, number: int) -> PostAnswer | None:
        """Return the answer to a repeated POST, once there is one; None if a later POST has come."""
        if number != self._newest:
            return None
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        answer = self._answer
        return answer if isinstance(answer, PostAnswer) else await asyncio.shield(answer)
