"""Collects messages to one client for a moment: a sink in front of any other.

A client asks for it in its URL (``?batch=0.02:100``). The collected messages leave as one ``batch``
frame, made of their encodings, which exist anyway. None can get lost meanwhile: each message has its
position already, and a client that comes back resumes after the last one that it has handled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from rtlab.policies.size_or_time_batching_windows import BatchWindow
from rtlab.protocol.json_and_messagepack_codecs import Codec
from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.sinks.sink_interface import Sink, write_each

__all__ = ["BatchFrame", "BatchingSink", "batched"]

#: Types of messages that leave at once, because the client waits for them, as for every answer.
_URGENT: Final = frozenset({"welcome", "error", "ping", "pong"})


class BatchFrame(EncodedFrame):
    """One ``batch`` message, made of the encoded forms of others.

    Parameters
    ----------
    frames : sequence of EncodedFrame
        The frames in their order.

    Examples
    --------
    >>> from rtlab.protocol.json_and_messagepack_codecs import JSON
    >>> BatchFrame([EncodedFrame(Message("a")), EncodedFrame(Message("b"))]).encoded(JSON)
    b'{"type":"batch","payload":[{"type":"a","payload":null},{"type":"b","payload":null}]}'
    """

    __slots__ = ("_frames",)

    def __init__(self, frames: Sequence[EncodedFrame]) -> None:
        super().__init__(Message("batch"), tuple(place for frame in frames for place in frame.positions))
        self._frames = frames

    def _encode(self, codec: Codec) -> bytes:
        """Join the encodings of all frames in one message, without encoding them again."""
        items = [frame.encoded(codec) for frame in self._frames]
        if not codec.binary:
            return b'{"type":"batch","payload":[%b]}' % b",".join(items)
        # A map of two, and an array with a 32-bit count (the MessagePack specification, "Array format").
        head = b"\x82\xa4type\xa5batch\xa7payload\xdd" + len(items).to_bytes(4, "big")
        return head + b"".join(items)


class BatchingSink:
    """Collects frames, and writes them to another sink when the batch window ends.

    Parameters
    ----------
    sink : Sink
        The connection.
    codec : Codec
        The connection's codec.
    window : BatchWindow
        Decides when a batch leaves.
    """

    def __init__(self, sink: Sink, codec: Codec, window: BatchWindow) -> None:
        self.transport = sink.transport
        self._sink = sink
        self._codec = codec
        self._window = window
        self._batch = window.start()
        self._frames: list[EncodedFrame] = []
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

    def write(self, frame: EncodedFrame, position: int) -> None:
        """Collect a frame; send the frames before it, or all, if the window says so."""
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
            # A single frame leaves as without batching: its bytes are shared with other clients.
            self._sink.write(frames[0] if len(frames) == 1 else BatchFrame(frames), self._position)

    def flush(self) -> None:
        """Flush the other sink; collected frames wait for their window, not for the turn's end."""
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
    """Return a batching sink in front of `sink`, or `sink` itself if the client asked for no batches."""
    return sink if window is None else BatchingSink(sink, codec, window)
