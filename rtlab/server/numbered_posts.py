"""Each POST of a session is handled once: something on the way may send one again.

Some proxies repeat a request whose answer does not come, and so do some HTTP libraries. A client
that numbers its POSTs (``Idempotency-Key``, draft-ietf-httpapi-idempotency-key-header, here a
number that grows) is safe: a repeat gets the first one's answer.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

__all__ = ["NumberedPosts", "PostAnswer"]

_DIGITS: Final = 20


class PostAnswer(NamedTuple):
    """What a POST was answered."""

    status: int
    body: bytes


class NumberedPosts:
    """The newest POST of one session, and its answer: a client sends one at a time.

    Examples
    --------
    >>> posts = NumberedPosts()
    >>> posts.number("17"), posts.number("no number")
    (17, None)
    """

    __slots__ = ("_answer", "_newest")

    def __init__(self) -> None:
        self._newest = -1
        self._answer: asyncio.Future[PostAnswer | None] | PostAnswer | None = None

    @staticmethod
    def number(key: str) -> int | None:
        """Return the number that a key holds, None for a key that is none of ours."""
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
        """Note the answer, and give it to the repeats that wait."""
        if number != self._newest:
            return
        waiting, self._answer = self._answer, answer
        if isinstance(waiting, asyncio.Future) and not waiting.done():
            waiting.set_result(answer)

    async def answer(self, number: int) -> PostAnswer | None:
        """Return the answer of a POST that was not new; None for one before the newest."""
        if number != self._newest:
            return None
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        answer = self._answer
        return answer if isinstance(answer, PostAnswer) else await asyncio.shield(answer)
