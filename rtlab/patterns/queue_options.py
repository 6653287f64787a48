"""The options of a queue, and snapshots of one of its messages and of its statistics."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rtlab.errors import MessageError
from rtlab.patterns.queue_sqlite_file import Durability, StoredMessage
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message

__all__ = ["QueueOptions", "QueueOverflow", "QueueStats", "QueuedMessage", "as_queued"]

#: What happens when a message finds no room: see `MessageQueue`.
QueueOverflow = Literal["reject", "drop_oldest", "drop_newest"]


class QueueOptions(msgspec.Struct, frozen=True):
    """The options of a queue: parameters of `MessageQueue`, under the same names.

    Raises
    ------
    ValueError
        An option is out of range.
    """

    durability: Durability
    max_messages: int
    max_bytes: int
    max_age: float
    overflow: QueueOverflow
    max_retries: int
    window: int
    answer_timeout: float

    def __post_init__(self) -> None:
        if self.overflow not in ("reject", "drop_oldest", "drop_newest"):
            raise ValueError(f"expected overflow reject, drop_oldest or drop_newest, got {self.overflow!r}")
        if self.durability not in ("full", "normal"):
            raise ValueError(f"expected durability full or normal, got {self.durability!r}")
        limits = min(self.max_messages, self.max_bytes, self.window)
        if limits < 1 or not self.max_age > 0 or self.max_retries < 0:
            raise ValueError("expected limits and a window >= 1, max_age > 0 and max_retries >= 0")


class QueuedMessage(msgspec.Struct, frozen=True):
    """A snapshot of one message of a queue.

    Parameters
    ----------
    id : str
        The message's id, the same in every retransmission.
    type, payload, room_id
        As given to `MessageQueue.send`. If the file's text of the message cannot be decoded, the payload is
        that text, and the id and the type are empty.
    timestamp : float
        When it was queued, seconds since 1970.
    retry_count : int
        Refusals and missing answers so far.
    error : str
        Why it is a dead letter; empty for a waiting message.
    """

    id: str
    type: str
    payload: Any
    room_id: str | None
    timestamp: float
    retry_count: int
    error: str


class QueueStats(msgspec.Struct, frozen=True):
    """A snapshot of a queue.

    Parameters
    ----------
    depth, size_bytes : int
        Number of messages without a result, and their total size in bytes of JSON.
    in_flight : int
        How many of them were sent and have no answer, without those that wait for a retransmission.
    oldest_age : float
        Seconds since the oldest was queued, 0 for an empty queue.
    sent, dead, dropped : int
        Messages handled by the server, given up, and dropped for lack of room, since the
        `MessageQueue` object was made.
    """

    depth: int
    size_bytes: int
    in_flight: int
    oldest_age: float
    sent: int
    dead: int
    dropped: int


def as_queued(row: StoredMessage) -> QueuedMessage:
    """Decode a row of the file; one that cannot be decoded is shown as its text, without a type."""
    try:
        message = JSON.decode(row.message)
    except MessageError:
        message = Message("", row.message.decode("utf-8", "replace"))
    return QueuedMessage(
        id=message.id or "",
        type=message.type,
        payload=message.payload,
        room_id=message.room_id,
        timestamp=row.timestamp,
        retry_count=row.retry_count,
        error=row.dead,
    )
