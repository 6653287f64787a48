"""Keeps a client below a rate: messages that the server would refuse wait in the client instead."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import cast

from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.policies.token_bucket import TokenBucket
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message

__all__ = ["Throttle"]


class Throttle:
    """Delays messages, in order, so that they go no faster than its token buckets allow.

    Several connections may share one throttle; their messages together then stay below the rate. It may
    be used in several calls of `asyncio.run`, one after the other. A
    ``batch`` costs what the server counts for it: one message for the batch and one for each item. A
    batch that costs more than the burst takes its tokens in several steps.

    Parameters
    ----------
    messages, bytes : TokenBucket or None
        The limits in messages, and in bytes of the messages' JSON; None for no limit.
    clock : callable
        Returns monotonic seconds.

    Attributes
    ----------
    waited : float
        Seconds that all messages together have waited.

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
        # The most messages that one step takes tokens for.
        self._most = max(1.0, messages.burst) if messages is not None else math.inf
        # First come, first served, even if a later message would cost less.
        self._turn = PerLoop(asyncio.Lock)

    async def admit(self, message: Message) -> None:
        """Return when a message may be sent. A cancelled caller does not get spent tokens back.

        Raises
        ------
        ValueError
            The message costs more than a bucket ever holds.
        """
        async with self._turn.here:
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
        """Wait until every bucket holds the cost of a message, or of one step of a batch, and take it."""
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
