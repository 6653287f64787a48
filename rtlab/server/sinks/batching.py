"""Messages to one client, collected for a moment: a sink in front of any other.

A client asks for it in its URL (``?batch=0.02:100``). What is collected leaves as one ``batch``
frame, made of the bytes that its messages have anyway. Nothing is at stake in between: each message
was numbered before, and a client that comes back resumes behind the last that it has handled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from rtlab.policies.batching import BatchWindow
from rtlab.protocol.codecs import Codec
from rtlab.protocol.messages import Message
from rtlab.server.encoded_frames import Burst, Frame
from rtlab.server.sinks.base import Sink, write_each

__all__ = ["BatchFrame", "BatchingSink", "batched"]

#: Somebody waits for these, as for every answer.
_URGENT: Final = frozenset({"welcome", "error", "ping", "pong"})


class BatchFrame(Frame):
    """One ``batch`` message, made of the encoded forms of others.

    Parameters
    ----------
    frames : sequence of Frame
        In their order.

    Examples
    --------
    >>> from rtlab.protocol.codecs import JSON
    >>> BatchFrame([Frame(Message("a")), Frame(Message("b"))]).encoded(JSON)
    b'{"type":"batch","payload":[{"type":"a","payload":null},{"type":"b","payload":null}]}'
    """

    __slots__ = ("_frames",)

    def __init__(self, frames: Sequence[Frame]) -> None:
        super().__init__(Message("batch"), tuple(place for frame in frames for place in frame.positions))
        self._frames = frames

    def _encode(self, codec: Codec) -> bytes:
        """All of them in one message, none encoded again."""
        items = [frame.encoded(codec) for frame in self._frames]
        if not codec.binary:
            return b'{"type":"batch","payload":[%b]}' % b",".join(items)
        # A map of two, and an array with a 32-bit count (the MessagePack specification, "Array format").
        head = b"\x82\xa4type\xa5batch\xa7payload\xdd" + len(items).to_bytes(4, "big")
        return head + b"".join(items)


class BatchingSink:
    """Collects what is written, and writes it into another sink when the window says so.

    Parameters
    ----------
    sink : Sink
        The connection.
    codec : Codec
        What the connection speaks.
    window : BatchWindow
        When a batch leaves.
    """

    def __init__(self, sink: Sink, codec: Codec, window: BatchWindow) -> None:
        self.transport = sink.transport
        self._sink = sink
        self._codec = codec
        self._window = window
        self._batch = window.start()
        self._frames: list[Frame] = []
        self._position = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def written_bytes(self) -> int:
        return self._sink.written_bytes

    @property
    def close_code(self) -> int | None:
        return self._sink.close_code

    @property
    def queued_bytes(self) -> int:
        return self._sink.queued_bytes + self._batch.size_bytes

    @property
    def congested(self) -> bool:
        return self._sink.congested

    def when_writable(self, then: Callable[[], object]) -> None:
        """See `Sink.when_writable`."""
        self._sink.when_writable(then)

    def write(self, frame: Frame, position: int) -> None:
        """Collect a frame; it may send those before it, or all."""
        size, now, window = len(frame.encoded(self._codec)), self._loop.time(), self._window
        if self._frames and not window.has_room(self._batch, size):
            self._leave(now)
        self._frames.append(frame)
        self._position = position
        self._batch = window.add(self._batch, size, now)
        if _urgent(frame.message) or window.leaves(self._batch, now):
            self._leave(now)
        elif self._timer is None:
            self._timer = self._loop.call_at(self._batch.due, self._due)

    def write_burst(self, burst: Burst, position: int) -> None:
        write_each(self, burst, position)

    def _due(self) -> None:
        self._timer = None
        self._leave(self._loop.time())

    def _leave(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        frames, self._frames = self._frames, []
        self._batch = self._window.leave(self._batch, now)
        if frames:
            # One alone is as it would be without batching: its bytes are shared with other clients.
            self._sink.write(frames[0] if len(frames) == 1 else BatchFrame(frames), self._position)

    def flush(self) -> None:
        """Hand over what left; what is collected waits for its window, not for the turn's end."""
        self._sink.flush()

    def close(self, code: int, reason: str = "") -> None:
        self._leave(self._loop.time())
        self._sink.close(code, reason)

    def abort(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._sink.abort()

    def heartbeat(self) -> bool:
        return self._sink.heartbeat()


def _urgent(message: Message) -> bool:
    """Whether a message leaves at once, and takes along what was collected before it."""
    return message.type in _URGENT or (message.id is not None and message.offset is None)


def batched(sink: Sink, codec: Codec, window: BatchWindow | None) -> Sink:
    """Return the sink behind a window, or itself where the client asked for none."""
    return sink if window is None else BatchingSink(sink, codec, window)
