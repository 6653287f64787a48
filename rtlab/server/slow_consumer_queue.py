"""What waits in front of a connection that takes no more: bounded, and under a policy for each room.

At rest there is no such queue: a frame is numbered and written. Once a connection's buffer is
full, frames wait here *before* they are numbered, so that what a policy drops leaves no hole in
the session: its announcement, ``skipped``, is a message like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Final

import msgspec

from rtlab.policies.overflow import (
    POLICY_NAMES,
    Overflow,
    OverflowQueue,
    Place,
    Skipped,
    SlowReader,
)
from rtlab.protocol.messages import Message, fields_of
from rtlab.server.encoded_frames import Frame, RoomPosition, checked

__all__ = ["MAX_QUEUE_FACTOR", "STALL_SECONDS", "OverflowOptions", "OverflowRules", "SlowConsumerQueue"]

#: Under ``disconnect``, a client that has more than its bound waiting may take nothing for this long.
STALL_SECONDS: Final = 2.0

#: However much of it a client takes: so many times its bound is the most that waits for it. What
#: waits, what the transport and the system hold, all fit into a session's backlog by default: a
#: client that was cut off can resume.
MAX_QUEUE_FACTOR: Final = 2

#: A client whose own answers fill this much of its queue is not heard until it has read some.
_ANSWERS_SHARE: Final = 0.5


class OverflowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a server treats clients that do not read.

    Parameters
    ----------
    messages, size_bytes : int
        What may wait for one connection, beside its transport's own buffer.
    default : Overflow
        Of rooms that are not named.
    rooms : mapping of str to Overflow
        By the room's name.
    """

    messages: int = 1024
    size_bytes: int = 128 * 1024
    default: Overflow = Overflow("disconnect")
    rooms: Mapping[str, Overflow] = msgspec.field(default_factory=dict[str, Overflow])


class OverflowRules:
    """The rules of one server, and what came of them.

    Parameters
    ----------
    options : OverflowOptions
        The rules.
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
        """Return what applies to a room's messages: the connection's choice, the room's, the default."""
        return chosen or self.options.rooms.get(room_id or "", self.options.default)

    def may_block(self, room_id: str) -> bool:
        """Whether publishers to a room may have to wait."""
        return self.policy(room_id, None).name == "block"


class SlowConsumerQueue:
    """The frames that wait for one connection.

    Parameters
    ----------
    rules : OverflowRules
        The server's.
    chosen : Overflow or None
        The connection's own policy.
    check_outgoing : callable, optional
        Raises `MessageError` for what the client may not be sent.
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
        self._queue = OverflowQueue[tuple[Frame, bool]](options.messages, options.size_bytes)
        self._reader = SlowReader(STALL_SECONDS, MAX_QUEUE_FACTOR, rules.clock)
        self._answers = self._answers_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def size_bytes(self) -> int:
        """Of all that waits."""
        return self._queue.size_bytes

    @property
    def overloaded(self) -> bool:
        """Whether the client has asked for so much that it has to read before it is heard again."""
        options = self._rules.options
        return (
            self._answers > _ANSWERS_SHARE * options.messages
            or self._answers_bytes > _ANSWERS_SHARE * options.size_bytes
        )

    def blocks(self, room_id: str) -> bool:
        """Whether a publisher to this room has to wait for this client."""
        return self._queue.full and self._rules.policy(room_id, self._chosen).name == "block"

    def put(self, frame: Frame, *, asked_for: bool = False) -> bool:
        """Add a frame, or drop one; return False when the client is to be cut off.

        Parameters
        ----------
        frame : Frame
            Not numbered yet.
        asked_for : bool
            The client asked for it (a room's history, say): nothing may drop it.
        """
        message, size, queue = frame.message, frame.measure(), self._queue
        before = self._excess()
        room_id, epoch, offset = message.room_id, message.epoch, message.offset
        if not asked_for and room_id is not None and epoch is not None and offset is not None:
            policy = self._rules.policy(room_id, self._chosen)
            place = Place(room_id, epoch, offset)
            dropped = queue.offer((frame, False), size, place, policy, _about(message, policy))
            if isinstance(dropped, int):
                self._rules.counts[policy.name] += dropped
            if policy.name != "disconnect":
                return True
        elif message.type == "users_update":
            queue.replace((frame, False), size, room_id)
        else:
            # Never too much: a client that has not read its answers is not heard.
            queue.add((frame, True), size)
            self._answers += 1
            self._answers_bytes += size
            return True
        if self._rules.policy(room_id, self._chosen).name == "disconnect":
            slow = self._reader.too_slow(before, self._excess())
        else:
            slow = False  # lists of users replace each other
        self._rules.counts["disconnect"] += slow
        return not slow

    def _excess(self) -> float:
        """How full it is of what the client did not ask for: 1 at the nearer bound, more above."""
        options, queue = self._rules.options, self._queue
        messages, size = len(queue) - self._answers, queue.size_bytes - self._answers_bytes
        return max(messages / options.messages, size / options.size_bytes)

    def take(self) -> Frame | None:
        """Return what is to be written next; None when nothing waits."""
        taken = self._queue.take()
        if taken is None or isinstance(taken, Skipped):
            return None if taken is None else _announcement(taken, self._check)
        frame, is_answer = taken
        if is_answer:
            self._answers -= 1
            self._answers_bytes -= frame.measure()
        return frame


def _about(message: Message, policy: Overflow) -> Hashable:
    """What a message is about, under ``conflate``; None for one that does not say."""
    if policy.name != "conflate":
        return None
    about = fields_of(message.payload).get(policy.key)
    if isinstance(about, bool):
        return "bool", about  # Python takes True for 1, and False for 0
    return about if isinstance(about, str | int | float) else None


def _announcement(skipped: Skipped, check: Callable[[Message], None] | None) -> Frame:
    payload = {
        "roomId": skipped.room_id,
        "epoch": skipped.epoch,
        "from": skipped.first,
        "to": skipped.last,
        "policy": skipped.policy,
    }
    place = RoomPosition(skipped.room_id, skipped.epoch, skipped.last)
    return Frame(checked(Message("skipped", payload, room_id=skipped.room_id), check), (place,))
