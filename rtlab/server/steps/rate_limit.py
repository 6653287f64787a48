"""Refuses messages that come too fast: by connection, user, address or room, in messages or bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from rtlab.policies.rate_limit import RateLimit, Scope
from rtlab.policies.token_bucket import Bucket
from rtlab.protocol.codecs import utf8_bytes
from rtlab.server.handlers.base import room_of
from rtlab.server.incoming_message import Incoming
from rtlab.server.refusal import Refused

__all__ = ["MAX_KEYS", "LimitRate"]

#: Buckets that one limit keeps; when there are more, those that are full again are forgotten.
MAX_KEYS: Final = 10_000

#: Of a strike: who goes on after 200 refusals is not slowed down by them, and is sent away.
STRIKE: Final = 1 / 40


#: Whose bucket a message takes from.
_KEYS: Final[dict[Scope, Callable[[Incoming], str | None]]] = {
    "connection": lambda incoming: incoming.session.session_id,
    "user": lambda incoming: incoming.session.user,
    "address": lambda incoming: incoming.session.address,
    "room": room_of,
}


class LimitRate:
    """One limit.

    A limit on bytes that looks at the sender stands before the decoder, so that bytes above it
    cost nothing more. A batch costs what it is long, and one message for itself and for each item.

    Parameters
    ----------
    limit : RateLimit
        Whose, of what, how much.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    before_decoding : bool
        Whether it can be asked before the message is read.
    refused : int
        Messages so far.
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float]) -> None:
        self.before_decoding = limit.unit == "bytes" and limit.scope != "room"
        self.refused = 0
        self._limit = limit
        self._clock = clock
        self._key = _KEYS[limit.scope]
        self._by_message = limit.unit == "messages"
        self._burst = limit.rule.burst
        self._spend = limit.rule.spend
        self._buckets: dict[str, Bucket] = {}

    def __call__(self, incoming: Incoming) -> None:
        key = self._key(incoming)
        cost = 1 if self._by_message else self._size(incoming)
        if key is None or not cost:
            return
        if cost > self._burst:
            raise self._too_much(cost)
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = self._first(now)
        if not self._spend(bucket, now, cost):
            self.refused += 1
            rule = self._limit.rule
            wait = rule.wait(bucket, now, cost)
            raise Refused(
                "rate_limited",
                f"expected at most {rule.rate:g} {self._limit.unit} per second of this "
                f"{self._limit.scope}: wait {wait:.3f} s",
                retry_after=wait,
                strikes=STRIKE,
            )

    def _size(self, incoming: Incoming) -> int:
        data = incoming.data
        if isinstance(data, bytes | str):
            return utf8_bytes(data)
        # An item of a batch: counted for its sender when the batch came, but not for its room.
        return 0 if self.before_decoding else len(msgspec.json.encode(data))

    def _first(self, now: float) -> Bucket:
        """Return a full bucket for somebody new; make room for it when that is needed."""
        rule, buckets = self._limit.rule, self._buckets
        if len(buckets) >= MAX_KEYS:
            idle = [key for key, bucket in buckets.items() if rule.wait(bucket, now, rule.burst) == 0]
            # Nobody idle: the longest known goes, which gives it a full bucket, and keeps memory bounded.
            for key in idle or [next(iter(buckets))]:
                del buckets[key]
        return rule.start(now)

    def _too_much(self, cost: float) -> Refused:
        burst, unit = self._limit.rule.burst, self._limit.unit
        return Refused(
            "rate_limited", f"the message costs {cost:,} {unit}, and {burst:,.0f} is the burst: split it"
        )
