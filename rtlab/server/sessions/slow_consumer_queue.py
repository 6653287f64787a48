"""The send queue of a slow consumer: bounded, with an overflow policy for each room.

A connection that keeps up has no such queue: its frames are numbered and written at once. Once its
buffer is full, frames wait here *before* they are numbered, so that dropping some leaves no gap in
the session's positions. A ``skipped`` message, numbered like any other, announces what was dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Final

import msgspec

from rtlab.policies.drop_or_conflate_on_overflow import (
    POLICY_NAMES,
    MessagePlace,
    Overflow,
    OverflowQueue,
    Skipped,
    SlowReader,
)
from rtlab.protocol.message_format import Message, fields_of
from rtlab.server.frames_encoded_once import EncodedFrame, RoomPosition, sendable

__all__ = ["MAX_QUEUE_FACTOR", "STALL_SECONDS", "OverflowOptions", "OverflowRules", "SlowConsumerQueue"]

#: Seconds that a client whose queue exceeds its limit may read nothing, under the policy ``disconnect``.
STALL_SECONDS: Final = 2.0

#: A client whose queue grows to this multiple of its limit is cut off, even if it reads. By default
#: the queue and the buffers of transport and system together fit into a session's backlog, so that
#: a client that was cut off can resume.
MAX_QUEUE_FACTOR: Final = 2

#: If answers to a client fill this share of its queue, its next messages wait until it has read some.
_ANSWERS_SHARE: Final = 0.5


class OverflowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a server treats clients that read too slowly.

    Parameters
    ----------
    messages, size_bytes : int
        How much may wait for one connection, besides its transport's own buffer.
    default : Overflow
        Policy of rooms that `rooms` does not name.
    rooms : mapping of str to Overflow
        Policies by room name.
    """

    messages: int = 1024
    size_bytes: int = 128 * 1024
    default: Overflow = Overflow("disconnect")
    rooms: Mapping[str, Overflow] = msgspec.field(default_factory=dict[str, Overflow])


class OverflowRules:
    """The overflow policies of one server, and how often they were applied.

    Parameters
    ----------
    options : OverflowOptions
        The policies and limits.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    counts : Counter
        By policy: messages dropped; for ``disconnect`` clients cut off, for ``block``
        publishes that waited.
    """

    def __init__(self, options: OverflowOptions, clock: Callable[[], float]) -> None:
        self.options = options
        self.clock = clock
        self.counts: Counter[str] = Counter(dict.fromkeys(POLICY_NAMES, 0))

    def policy(self, room_id: str | None, chosen: Overflow | None) -> Overflow:
        """Return a message's policy: the connection's if it chose one, else the room's, else the default."""
        return chosen or self.options.rooms.get(room_id or "", self.options.default)

    def may_block(self, room_id: str) -> bool:
        """Whether publishers to a room may have to wait."""
        return self.policy(room_id, None).name == "block"


class SlowConsumerQueue:
    """The frames that wait for one connection.

    Parameters
    ----------
    rules : OverflowRules
        The server's overflow policies.
    chosen : Overflow or None
        The policy that the connection asked for; None for the server's.
    check_outgoing : callable, optional
        Raises `MessageError` for a message that must not be sent.
    """

    __slots__ = ("_answers", "_answers_bytes", "_check", "_chosen", "_queue", "_reader", "_rules")

    def __init__(
        self,
        rules: OverflowRules,
        chosen: Overflow | None,
        check_outgoing: Callable[[Message], None] | None = None,
    ) -> None:
        options = rules.options
        self._check = check_outgoing
        self._rules = rules
        self._chosen = chosen
        self._queue = OverflowQueue[tuple[EncodedFrame, bool]](options.messages, options.size_bytes)
        self._reader = SlowReader(STALL_SECONDS, MAX_QUEUE_FACTOR, rules.clock)
        self._answers = self._answers_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def size_bytes(self) -> int:
        """Bytes of all frames that wait."""
        return self._queue.size_bytes

    @property
    def overloaded(self) -> bool:
        """Whether so many answers wait that the client must read before its next messages are handled."""
        options = self._rules.options
        return (
            self._answers > _ANSWERS_SHARE * options.messages
            or self._answers_bytes > _ANSWERS_SHARE * options.size_bytes
        )

    def blocks(self, room_id: str) -> bool:
        """Whether a publisher to this room has to wait for this client."""
        return self._queue.full and self._rules.policy(room_id, self._chosen).name == "block"

    def put(self, frame: EncodedFrame, *, asked_for: bool = False) -> bool:
        """Add a frame, or drop one; return False when the client is to be cut off.

        Parameters
        ----------
        frame : EncodedFrame
            A frame that has no position yet.
        asked_for : bool
            Whether the client has asked for it, as for a room's history: then no policy may drop it.
        """
        message, size, queue = frame.message, frame.measure(), self._queue
        before = self._excess()
        room_id, epoch, offset = message.room_id, message.epoch, message.offset
        if not asked_for and room_id is not None and epoch is not None and offset is not None:
            policy = self._rules.policy(room_id, self._chosen)
            place = MessagePlace(room_id, epoch, offset)
            dropped = queue.offer((frame, False), size, place, policy, _about(message, policy))
            if isinstance(dropped, int):
                self._rules.counts[policy.name] += dropped
            if policy.name != "disconnect":
                return True
        elif message.type == "users_update":
            queue.replace((frame, False), size, room_id)
        else:
            # Answers need no limit here: while too many wait, the client's messages are not handled.
            queue.add((frame, True), size)
            self._answers += 1
            self._answers_bytes += size
            return True
        if self._rules.policy(room_id, self._chosen).name == "disconnect":
            slow = self._reader.too_slow(before, self._excess())
        else:
            slow = False  # lists of users replace each other, so they do not pile up
        self._rules.counts["disconnect"] += slow
        return not slow

    def _excess(self) -> float:
        """Return how full the queue is without answers: 1 at whichever limit is nearer, more above it."""
        options, queue = self._rules.options, self._queue
        messages, size = len(queue) - self._answers, queue.size_bytes - self._answers_bytes
        return max(messages / options.messages, size / options.size_bytes)

    def take(self) -> EncodedFrame | None:
        """Return the frame to be written next; None when nothing waits."""
        taken = self._queue.take()
        if taken is None or isinstance(taken, Skipped):
            return None if taken is None else _announcement(taken, self._check)
        frame, is_answer = taken
        if is_answer:
            self._answers -= 1
            self._answers_bytes -= frame.measure()
        return frame


def _about(message: Message, policy: Overflow) -> Hashable:
    """Return the value by which ``conflate`` groups messages; None for a message without one."""
    if policy.name != "conflate":
        return None
    about = fields_of(message.payload).get(policy.key)
    if isinstance(about, bool):
        return "bool", about  # in Python, True equals 1 and False equals 0
    return about if isinstance(about, str | int | float) else None


def _announcement(skipped: Skipped, check: Callable[[Message], None] | None) -> EncodedFrame:
    payload = {
        "roomId": skipped.room_id,
        "epoch": skipped.epoch,
        "from": skipped.first,
        "to": skipped.last,
        "policy": skipped.policy,
    }
    place = RoomPosition(skipped.room_id, skipped.epoch, skipped.last)
    return EncodedFrame(sendable(Message("skipped", payload, room_id=skipped.room_id), check), (place,))
