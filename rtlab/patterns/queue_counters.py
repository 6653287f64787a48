"""Counters of the messages that wait in a queue: their number, their bytes, the oldest."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator
from contextlib import contextmanager

from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.patterns.queue_sqlite_file import StoredMessage

__all__ = ["QueueCounters"]


class QueueCounters:
    """Counts the messages of a queue that have no result yet.

    Parameters
    ----------
    name : str
        Name of the queue.
    max_messages, max_bytes : int
        Limits of the waiting messages, in number and in bytes of JSON.

    Attributes
    ----------
    idle : PerLoop of asyncio.Event
        Set when the last message has its result.
    """

    def __init__(self, name: str, max_messages: int, max_bytes: int) -> None:
        self.idle = PerLoop(asyncio.Event)
        self.size_bytes = 0
        self._name = name
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._rows: dict[int, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __str__(self) -> str:
        return f"the queue {self._name!r} holds {len(self):,} messages, {self.size_bytes:,} bytes"

    @property
    def oldest(self) -> float | None:
        """When the oldest was queued, seconds since 1970; None for an empty queue."""
        return next(iter(self._rows.values()))[1] if self._rows else None

    def has_room(self, size_bytes: int) -> bool:
        """Whether one more message of this size fits."""
        return len(self) < self._max_messages and self.size_bytes + size_bytes <= self._max_bytes

    @contextmanager
    def filling(self) -> Generator[None]:
        """Switch off the garbage collector while many messages are added: it would scan all repeatedly."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collecting:
                gc.enable()

    def add(self, *rows: StoredMessage) -> None:
        """Count messages."""
        for row in rows:
            size_bytes = len(row.message)
            self._rows[row.seq] = (size_bytes, row.timestamp)
            self.size_bytes += size_bytes
        if rows:
            self.idle.here.clear()

    def remove(self, seq: int) -> None:
        """Stop counting a message; an unknown number changes nothing."""
        size_bytes, _ = self._rows.pop(seq, (0, 0.0))
        self.size_bytes -= size_bytes
        if not self._rows:
            self.idle.here.set()
