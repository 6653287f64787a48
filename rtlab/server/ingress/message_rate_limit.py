"""Refuses messages that come too fast: by connection, user, address or room, in messages or bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Final

import msgspec

from rtlab.policies.rate_limit_notation import RateLimit, Scope
from rtlab.policies.token_bucket import Bucket, TokenBucket
from rtlab.protocol.json_and_messagepack_codecs import utf8_bytes
from rtlab.server.handlers.handler_interface import room_of
from rtlab.server.incoming_message import Incoming
from rtlab.server.refusal_and_end_reasons import Refused

__all__ = ["MAX_KEYS", "LimitRate"]

#: Buckets that one limit keeps; when there are more, those that are full again are forgotten.
MAX_KEYS: Final = 10_000

#: Strikes per refusal: a client that goes on after 200 refusals ignores them, and its session is ended.
STRIKE: Final = 1 / 40

#: Scope → returns the key of the bucket that a message takes from.
_KEYS: Final[dict[Scope, Callable[[Incoming], str | None]]] = {
    "connection": attrgetter("session.session_id"),
    "user": attrgetter("session.user"),
    "address": attrgetter("session.address"),
    "room": room_of,
}


class LimitRate:
    """Enforces one rate limit.

    A limit on a sender's bytes is checked before decoding, so that excess bytes are not decoded. A
    batch costs its length in bytes; under a limit on messages it costs one, and each of its items one.

    Parameters
    ----------
    limit : RateLimit
        The scope, the unit, and the rate with its burst.

    Attributes
    ----------
    before_decoding : bool
        Whether the limit can be checked before the message is decoded.
    refused : int
        Messages refused so far.
    """

    def __init__(self, limit: RateLimit) -> None:
        self.before_decoding = limit.unit == "bytes" and limit.scope != "room"
        self.refused = 0
        self._limit = limit
        self._by_connection = limit.scope == "connection"
        self._key_of = _KEYS[limit.scope]
        self._by_message = limit.unit == "messages"
        self._burst = limit.rule.burst
        self._rate = limit.rule.rate if isinstance(limit.rule, TokenBucket) else None
        self._buckets: dict[str | None, Bucket] = {}

    def check(self, incoming: Incoming) -> None:
        """As an ingress step, take a message's cost from its bucket; refuse it if too little is left."""
        # Fast path without a call, for the commonest scope and a message that is let in: the sums of
        # `TokenBucket.spend`. In floats, which Python compares and subtracts faster than an int and a float.
        key = incoming.session.session_id if self._by_connection else self._key_of(incoming)
        cost = 1.0 if self._by_message else self._size(incoming)
        bucket, rate, now = self._buckets.get(key), self._rate, incoming.now
        if bucket is not None and rate is not None:
            left = bucket.tokens + rate * (now - bucket.at)
            if left > self._burst:
                left = self._burst
            if left >= cost:
                bucket.at = now
                bucket.tokens = left - cost
                return
        if key is not None and cost:
            self._take(key, now, cost)

    def _take(self, key: str, now: float, cost: float) -> None:
        rule, unit = self._limit.rule, self._limit.unit
        if cost > rule.burst:
            text = f"the message costs {cost:,.0f} {unit}, and {rule.burst:,.0f} is the burst: split it"
            raise Refused("rate_limited", text)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = self._first(now)
        if not rule.spend(bucket, now, cost):
            self.refused += 1
            # Rounded up to whole milliseconds, as the client is told: a client that waits so long is let in.
            wait = math.ceil(1000 * rule.wait(bucket, now, cost)) / 1000
            raise Refused(
                "rate_limited",
                f"expected at most {rule.rate:.12g} {unit} per second of this "
                f"{self._limit.scope}: wait {wait:.3f} s",
                retry_after=wait,
                strikes=STRIKE,
            )

    def _size(self, incoming: Incoming) -> int:
        data = incoming.data
        if isinstance(data, bytes | str):
            return utf8_bytes(data)
        # An item of a batch: its bytes were counted for the sender with the batch, but not for the room.
        return 0 if self.before_decoding else len(msgspec.json.encode(data))

    def _first(self, now: float) -> Bucket:
        """Return a full bucket for a new key; drop other buckets if there are too many."""
        rule, buckets = self._limit.rule, self._buckets
        if len(buckets) >= MAX_KEYS:
            idle = [key for key, bucket in buckets.items() if rule.wait(bucket, now, rule.burst) == 0]
            # If no bucket is full again, drop the oldest: its key gets a full one, but memory stays bounded.
            for key in idle or [next(iter(buckets))]:
                del buckets[key]
        return rule.start(now)
