"""Overflow policies of a bounded queue: drop, conflate, block or disconnect when a consumer is slow. No I/O.

When the queue is full, a policy makes the publisher wait (``block``), drops a message
(``drop_oldest``, ``drop_newest``, ``conflate``) or disconnects the consumer (``disconnect``).
`OverflowQueue` decides; its owner does the I/O and the waiting. Messages are never dropped
silently: `Skipped` announces them, at their place in the room's order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, Literal, NamedTuple, TypeVar

import msgspec

__all__ = [
    "POLICY_NAMES",
    "MessagePlace",
    "Overflow",
    "OverflowQueue",
    "Skipped",
    "SlowReader",
    "parse_overflow",
]

T = TypeVar("T")

POLICY_NAMES: Final = ("block", "drop_oldest", "drop_newest", "conflate", "disconnect")


class Overflow(msgspec.Struct, frozen=True):
    """One overflow policy.

    Parameters
    ----------
    name : str
        One of `POLICY_NAMES`.
    key : str
        For ``"conflate"``: the payload's field by which messages are conflated. Of the waiting
        messages with the same value there, only the newest is kept. Empty for other policies.
    """

    name: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.key}" if self.key else self.name


def parse_overflow(text: str) -> Overflow:
    """Read a policy as written in options and URLs.

    Parameters
    ----------
    text : str
        ``block``, ``drop_oldest``, ``drop_newest``, ``disconnect``, or ``conflate:FIELD``.

    Returns
    -------
    Overflow

    Raises
    ------
    ValueError
        The text is not a policy; the message lists the policies.

    Examples
    --------
    >>> parse_overflow("conflate:symbol")
    Overflow(name='conflate', key='symbol')
    >>> parse_overflow("drop")
    Traceback (most recent call last):
    ValueError: overflow: expected block, drop_oldest, drop_newest, conflate:FIELD or disconnect, got 'drop'
    """
    name, _, key = text.partition(":")
    if name not in POLICY_NAMES or (name == "conflate") != bool(key) or len(key) > 128:
        expected = "block, drop_oldest, drop_newest, conflate:FIELD or disconnect"
        raise ValueError(f"overflow: expected {expected}, got {text!r:.80}")
    return Overflow(name, key)


class MessagePlace(NamedTuple):
    """A message's position in its room: the name of the room's history, and the offset in it."""

    room_id: str
    epoch: str
    offset: int


class Skipped(NamedTuple):
    """Announces that a policy dropped a room's messages with the offsets `first` to `last`, both included."""

    room_id: str
    epoch: str
    first: int
    last: int
    policy: str


class _Entry(Generic[T]):
    __slots__ = ("item", "key", "lane", "offset", "size_bytes")

    def __init__(self, item: T, size_bytes: int, lane: _Lane | None, offset: int, key: Hashable) -> None:
        self.item = item
        self.size_bytes = size_bytes
        self.lane = lane
        self.offset = offset
        self.key = key


class _Lane:
    """One room's messages in a queue; offsets that are missing were dropped or never offered."""

    __slots__ = ("absent", "epoch", "keys", "last", "next", "policy", "room_id", "waiting")

    def __init__(self, place: MessagePlace, policy: str) -> None:
        self.room_id, self.epoch = place.room_id, place.epoch
        self.next = place.offset  # the first offset that the consumer has not got yet
        self.last = place.offset - 1
        self.absent: list[tuple[int, int]] = []  # ranges that were never offered, (first, last), in order
        self.policy = policy
        self.waiting = OrderedDict[int, None]()  # the numbers of waiting entries, oldest first
        self.keys: dict[Hashable, int] = {}


class OverflowQueue(Generic[T]):
    """The messages that wait for one consumer, in order.

    Parameters
    ----------
    max_messages, max_bytes : int
        The bounds of the queue. An empty queue accepts any one message, however large.

    Attributes
    ----------
    size_bytes : int
        The size of all waiting messages in bytes.

    Examples
    --------
    >>> queue = OverflowQueue[str](2, 1000)
    >>> for n in (1, 2, 3):
    ...     _ = queue.offer(f"m{n}", 10, MessagePlace("r", "e", n), Overflow("drop_oldest"))
    >>> queue.take()
    Skipped(room_id='r', epoch='e', first=1, last=1, policy='drop_oldest')
    >>> queue.take(), queue.take(), queue.take()
    ('m2', 'm3', None)
    """

    __slots__ = ("_entries", "_lanes", "_max_bytes", "_max_messages", "_number", "_states", "size_bytes")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        if max_messages < 1 or max_bytes < 1:
            raise ValueError(f"expected bounds of at least 1, got {max_messages} messages, {max_bytes} bytes")
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._number = 0
        self._entries = OrderedDict[int, _Entry[T]]()
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._states: dict[Hashable, int] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        """Whether the queue has reached one of its bounds."""
        return len(self._entries) >= self._max_messages or self.size_bytes >= self._max_bytes

    def add(self, item: T, size_bytes: int) -> None:
        """Add an item that no policy may drop, such as an answer."""
        self._append(_Entry(item, size_bytes, None, 0, None))

    def replace(self, item: T, size_bytes: int, state: Hashable) -> None:
        """Add an item that no policy may drop, in place of a waiting item with the same `state`."""
        former = self._states.get(state)
        if former is not None:
            self.size_bytes -= self._entries.pop(former).size_bytes
        self._states[state] = self._append(_Entry(item, size_bytes, None, 0, state))

    def offer(
        self, item: T, size_bytes: int, place: MessagePlace, policy: Overflow, key: Hashable = None
    ) -> Literal["queued", "over"] | int:
        """Add a message of a room as its policy allows.

        Parameters
        ----------
        item : T
            The message.
        size_bytes : int
            The message's size.
        place : MessagePlace
            The message's position. Offsets of one room and epoch must be offered in order. A gap
            between them does not count as dropped: the consumer was not in the room, or has got
            those messages in another way.
        policy : Overflow
            The policy of the room for this consumer.
        key : hashable
            For ``"conflate"``: the value by which the message is conflated; None conflates nothing.

        Returns
        -------
        "queued", "over" or int
            ``"queued"``: nothing was dropped. ``"over"``: the message is queued beyond the bounds,
            and the caller must carry out ``block`` or ``disconnect``. A number: how many messages
            were dropped, possibly including this one.
        """
        name = policy.name
        lane = self._lanes.get(place[:2])
        if lane is None:
            lane = self._lanes[place[:2]] = _Lane(place, name)
        elif place.offset > lane.last + 1:
            lane.absent.append((lane.last + 1, place.offset - 1))
        lane.last, lane.policy = place.offset, name
        entry = _Entry(item, size_bytes, lane, place.offset, key)
        if name in ("block", "disconnect"):
            over = not self._fits(size_bytes)
            self._append(entry)
            return "over" if over else "queued"
        dropped = 0
        if name == "conflate" and key is not None and key in lane.keys:
            self._remove(lane.keys[key])
            dropped += 1
        if name != "drop_newest":
            while lane.waiting and not self._fits(size_bytes):
                self._remove(next(iter(lane.waiting)))
                dropped += 1
        if self._fits(size_bytes):
            self._append(entry)
            return dropped or "queued"
        return dropped + 1  # no more messages of this room can be dropped: drop this one

    def take(self) -> T | Skipped | None:
        """Return the next message, or a `Skipped` in place of dropped ones; None if nothing waits."""
        for number, entry in self._entries.items():
            lane = entry.lane
            if lane is not None and (skipped := self._skip(lane, entry.offset - 1)) is not None:
                return skipped
            self._remove(number)
            if lane is not None:
                lane.next = entry.offset + 1
            elif entry.key is not None:
                del self._states[entry.key]
            return entry.item
        for lane in self._lanes.values():
            if (skipped := self._skip(lane, lane.last)) is not None:
                return skipped
        self._lanes.clear()
        return None

    def _fits(self, size_bytes: int) -> bool:
        waiting = len(self._entries)
        return not waiting or (
            waiting < self._max_messages and self.size_bytes + size_bytes <= self._max_bytes
        )

    def _append(self, entry: _Entry[T]) -> int:
        self._number = number = self._number + 1
        self._entries[number] = entry
        self.size_bytes += entry.size_bytes
        if entry.lane is not None:
            entry.lane.waiting[number] = None
            if entry.key is not None:
                entry.lane.keys[entry.key] = number
        return number

    def _remove(self, number: int) -> None:
        entry = self._entries.pop(number)
        self.size_bytes -= entry.size_bytes
        lane = entry.lane
        if lane is not None:
            del lane.waiting[number]
            if entry.key is not None and lane.keys.get(entry.key) == number:
                del lane.keys[entry.key]

    def _skip(self, lane: _Lane, last: int) -> Skipped | None:
        """Return the next dropped range up to `last`, without offsets never offered; None without one."""
        while lane.absent and lane.absent[0][0] <= lane.next:
            lane.next = lane.absent.pop(0)[1] + 1
        if lane.absent:
            last = min(last, lane.absent[0][0] - 1)
        if last < lane.next:
            return None
        skipped = Skipped(lane.room_id, lane.epoch, lane.next, last, lane.policy)
        lane.next = last + 1
        return skipped


class SlowReader:
    """Distinguishes a consumer that does not read from one that reads, but has much to receive.

    A queue may exceed its bound as long as the consumer takes messages: of two calls of `too_slow`
    the later must find less than the earlier left, or come at most `stall` seconds after the last
    progress. A queue must never exceed `factor` times its bound.

    Parameters
    ----------
    stall : float
        Seconds without progress after which a consumer above the bound is too slow.
    factor : float
        The multiple of its bound to which the queue of a reading consumer may grow.
    clock : callable
        Returns monotonic seconds.
    """

    __slots__ = ("_clock", "_factor", "_left", "_since", "_stall")

    def __init__(self, stall: float, factor: float, clock: Callable[[], float]) -> None:
        self._stall = stall
        self._factor = factor
        self._clock = clock
        # How full the queue was after the last call, and the time of the consumer's last progress.
        self._left = 0.0
        self._since = clock()

    def too_slow(self, before: float, after: float) -> bool:
        """Return whether to disconnect the consumer.

        Parameters
        ----------
        before, after : float
            How full the queue is without and with the newest message, as a multiple of the bound.
        """
        now = self._clock()
        if before < self._left or before < 1:
            self._since = now
        self._left = after
        return after > self._factor or (before >= 1 and now - self._since > self._stall)
