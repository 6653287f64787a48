"""What becomes of the messages that a consumer does not take: five policies over one bounded queue.

A queue in front of a slow consumer has to do something when it is full: make the publisher
wait (``block``), forget something (``drop_oldest``, ``drop_newest``, ``conflate``), or end the
consumer (``disconnect``). `OverflowQueue` decides; whoever owns it reads, writes and waits.
What was forgotten is never silent: it comes out as `Skipped`, in its place in the room's order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, Literal, NamedTuple, TypeVar

import msgspec

__all__ = ["POLICY_NAMES", "Overflow", "OverflowQueue", "Place", "Skipped", "SlowReader", "parse_overflow"]

T = TypeVar("T")

POLICY_NAMES: Final = ("block", "drop_oldest", "drop_newest", "conflate", "disconnect")


class Overflow(msgspec.Struct, frozen=True):
    """One policy.

    Parameters
    ----------
    name : str
        One of `POLICY_NAMES`.
    key : str
        For ``"conflate"``: the field of a payload that says what a message is about. Of those
        about the same, only the newest waits.
    """

    name: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.key}" if self.key else self.name


def parse_overflow(text: str) -> Overflow:
    """Read a policy as it is written in options and URLs.

    Parameters
    ----------
    text : str
        ``block``, ``drop_oldest``, ``drop_newest``, ``disconnect``, or ``conflate:`` and a field.

    Returns
    -------
    Overflow

    Raises
    ------
    ValueError
        It says what was expected.

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


class Place(NamedTuple):
    """A message's place in its room: which history, and its number there."""

    room_id: str
    epoch: str
    offset: int


class Skipped(NamedTuple):
    """Messages of one room that a policy dropped, the first and the last included."""

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
    """One room's messages in a queue: their offsets are dense, but for what was dropped or never offered."""

    __slots__ = ("absent", "epoch", "keys", "last", "next", "policy", "room_id", "waiting")

    def __init__(self, place: Place, policy: str) -> None:
        self.room_id, self.epoch = place.room_id, place.epoch
        self.next = place.offset  # the consumer has all before
        self.last = place.offset - 1
        self.absent: list[tuple[int, int]] = []  # what was not offered, first and last, in order
        self.policy = policy
        self.waiting = OrderedDict[int, None]()  # numbers of entries, oldest first
        self.keys: dict[Hashable, int] = {}


class OverflowQueue(Generic[T]):
    """What waits for one consumer, in order.

    Parameters
    ----------
    max_messages, max_bytes : int
        Its bounds. Each of them lets one message in when nothing waits.

    Attributes
    ----------
    size_bytes : int
        Of all that waits.

    Examples
    --------
    >>> queue = OverflowQueue[str](2, 1000)
    >>> for n in (1, 2, 3):
    ...     _ = queue.offer(f"m{n}", 10, Place("r", "e", n), Overflow("drop_oldest"))
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
        """Whether it has reached one of its bounds."""
        return len(self._entries) >= self._max_messages or self.size_bytes >= self._max_bytes

    def add(self, item: T, size_bytes: int) -> None:
        """Add what nothing may drop: an answer, say."""
        self._append(_Entry(item, size_bytes, None, 0, None))

    def replace(self, item: T, size_bytes: int, state: Hashable) -> None:
        """Add what makes an earlier one of the same name worthless, and take that out."""
        former = self._states.get(state)
        if former is not None:
            self.size_bytes -= self._entries.pop(former).size_bytes
        self._states[state] = self._append(_Entry(item, size_bytes, None, 0, state))

    def offer(
        self, item: T, size_bytes: int, place: Place, policy: Overflow, key: Hashable = None
    ) -> Literal["queued", "over"] | int:
        """Add a message of a room, as its policy allows.

        Parameters
        ----------
        item : T
            The message.
        size_bytes : int
            Its size.
        place : Place
            Offsets of one room and epoch are offered in order. What one of them leaves out is not
            dropped: the consumer was not in the room, or has it in another way.
        policy : Overflow
            The room's, for this consumer.
        key : hashable
            For ``"conflate"``: what the message is about; None is about nothing.

        Returns
        -------
        "queued", "over" or int
            ``"over"``: it is queued, beyond the bounds: ``block`` and ``disconnect`` have to
            be carried out. A number: so many messages were dropped, perhaps this one.
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
        return dropped + 1  # what waits belongs to others: this one has no place

    def take(self) -> T | Skipped | None:
        """Return what comes next: a message, an announcement, or None when nothing waits."""
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
        """Return what was dropped of a room, up to a number or to what was never offered; None of nothing."""
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
    """Tells a consumer that takes nothing from one that takes some, and asked for much.

    More than the bound may wait as long as some of it is taken: each look must find less
    than the one before left, or at most `stall` seconds may pass; and never more than
    `factor` times the bound.

    Parameters
    ----------
    stall : float
        Seconds.
    factor : float
        How far above its bound a queue may grow for a consumer that does read.
    clock : callable
        Seconds, monotonic.
    """

    __slots__ = ("_clock", "_factor", "_left", "_since", "_stall")

    def __init__(self, stall: float, factor: float, clock: Callable[[], float]) -> None:
        self._stall = stall
        self._factor = factor
        self._clock = clock
        # How full the last look left the queue, and since when nothing of it was taken.
        self._left = 0.0
        self._since = clock()

    def too_slow(self, before: float, after: float) -> bool:
        """Whether to end the consumer.

        Parameters
        ----------
        before, after : float
            How full its queue is without the newest message, and with it: 1 at the bound.
        """
        now = self._clock()
        if before < self._left or before < 1:
            self._since = now
        self._left = after
        return after > self._factor or (before >= 1 and now - self._since > self._stall)
