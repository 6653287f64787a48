"""Keeps a client below a rate: what would be refused by the server waits here instead."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import cast

from rtlab.policies.token_bucket import TokenBucket
from rtlab.protocol.codecs import JSON
from rtlab.protocol.messages import Message

__all__ = ["Throttle"]


class Throttle:
    """Lets messages through in their order, no faster than its buckets allow.

    One may be shared by several connections, which then stay below the rate together. A ``batch`` counts
    as the server counts it: one message for itself and one for each item; one that is larger than the
    burst pays in instalments.

    Parameters
    ----------
    messages, bytes : TokenBucket or None
        The rate in messages, and in bytes of their JSON; None for no limit.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    waited : float
        Seconds that messages have waited, all together.

    Examples
    --------
    >>> Throttle(messages=TokenBucket(rate=50, burst=10)).waited
    0.0
    """

    def __init__(
        self,
        messages: TokenBucket | None = None,
        bytes: TokenBucket | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waited = 0.0
        self._clock = clock
        now = clock()
        self._buckets = [
            (rule, rule is bytes, rule.start(now)) for rule in (messages, bytes) if rule is not None
        ]
        self._by_size = bytes is not None
        # What one instalment has at most.
        self._most = max(1.0, messages.burst) if messages is not None else math.inf
        # Who asks first goes first, also where a later message would cost less.
        self._turn = asyncio.Lock()

    async def admit(self, message: Message) -> None:
        """Return when a message may be sent. Who is cancelled while it waits gets nothing back.

        Raises
        ------
        ValueError
            The message costs more than a bucket ever holds.
        """
        async with self._turn:
            left = _messages_of(message)
            size = (
                float(len(JSON.encode(message))) if any(by_size for _, by_size, _ in self._buckets) else 0.0
            )
            while left > 0:
                part = min(
                    [left, *(max(1.0, rule.burst) for rule, by_size, _ in self._buckets if not by_size)]
                )
                await self._take(part, size)
                left, size = left - part, 0.0

    async def _take(self, messages: float, size: float) -> None:
        """Wait until all buckets hold what a message, or a part of one, costs, and take it."""
        paying = [(rule, bucket, size if by_size else messages) for rule, by_size, bucket in self._buckets]
        while True:
            now = self._clock()
            waits = [rule.wait(bucket, now, cost) for rule, bucket, cost in paying if cost]
            longest = max(waits, default=0.0)
            if longest <= 0:
                break
            await asyncio.sleep(longest)
            self.waited += longest
        self._buckets = [
            (rule, by_size, rule.take(bucket, now, cost)[0] if cost else bucket)
            for (rule, by_size, _), (_, bucket, cost) in zip(self._buckets, paying, strict=True)
        ]


def _messages_of(message: Message) -> float:
    items: object = message.payload
    return (
        1.0 + len(cast("list[object]", items)) if message.type == "batch" and isinstance(items, list) else 1.0
    )
