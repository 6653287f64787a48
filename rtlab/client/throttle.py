"""Keeps a client below a rate: what would be refused by the server waits here instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rtlab.policies.token_bucket import TokenBucket
from rtlab.protocol.codecs import JSON
from rtlab.protocol.messages import Message

__all__ = ["Throttle"]


class Throttle:
    """Lets messages through in their order, no faster than its buckets allow.

    One may be shared by several connections, which then stay below the rate together.

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
        # Who asks first goes first, also where a later message would cost less.
        self._turn = asyncio.Lock()

    async def admit(self, message: Message) -> None:
        """Return when a message may be sent. Who is cancelled meanwhile has taken nothing.

        Raises
        ------
        ValueError
            The message costs more than a bucket ever holds.
        """
        async with self._turn:
            costs = [float(len(JSON.encode(message))) if by_size else 1.0 for _, by_size, _ in self._buckets]
            while True:
                now = self._clock()
                waits = [
                    rule.wait(bucket, now, cost)
                    for (rule, _, bucket), cost in zip(self._buckets, costs, strict=True)
                ]
                longest = max(waits, default=0.0)
                if longest <= 0:
                    break
                await asyncio.sleep(longest)
                self.waited += longest
            self._buckets = [
                (rule, by_size, rule.take(bucket, now, cost)[0])
                for (rule, by_size, bucket), cost in zip(self._buckets, costs, strict=True)
            ]
