"""A room's published messages, kept for members that come back: bounded in number, bytes and age."""

from __future__ import annotations

from collections import deque

from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.rooms.room_limits import HubLimits

__all__ = ["History"]


class History:
    """The newest frames of a room, oldest first.

    Examples
    --------
    >>> len(History())
    0
    """

    __slots__ = ("_bytes", "_frames")

    def __init__(self) -> None:
        self._frames: deque[tuple[float, EncodedFrame]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def append(self, frame: EncodedFrame, now: float, limits: HubLimits) -> None:
        """Keep one more frame, and drop the oldest beyond the limits."""
        self._frames.append((now, frame))
        self._bytes += frame.measure()
        while len(self._frames) > limits.history_messages or self._bytes > limits.history_bytes:
            self._pop()
        self.forget(now - limits.history_age)

    def forget(self, before: float) -> None:
        """Drop what was published before a time."""
        while self._frames and self._frames[0][0] < before:
            self._pop()

    def newest(self, count: int) -> list[EncodedFrame]:
        """Return the last `count` frames, oldest first."""
        start = len(self._frames) - count
        return [self._frames[i][1] for i in range(start, len(self._frames))]

    def _pop(self) -> None:
        self._bytes -= self._frames.popleft()[1].size_bytes
