"""A bounded queue of the messages that have arrived on a data channel and were not taken yet."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rtlab.webrtc.data_channel_framing_and_pings import DataLink

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

    from rtlab.errors import TransportClosed
    from rtlab.webrtc.loopback_ice import LoopbackPeerConnection

__all__ = ["ReceiveQueue"]

# Above a pause limit, packets are left unread; once both resume limits are met, they are read again.
_PAUSE_FRAMES: Final = 1024
_RESUME_FRAMES: Final = 256
_PAUSE_LENGTH: Final = 1 << 20
_RESUME_LENGTH: Final = 1 << 18


class ReceiveQueue:
    """A data link with a queue of received messages, which `get` awaits.

    When the queue is too long, packets are left unread, which slows the sender down;
    see `DataLink.pause`.

    Parameters
    ----------
    peer, channel, clock
        As for `DataLink`.
    """

    def __init__(
        self,
        peer: LoopbackPeerConnection,
        channel: RTCDataChannel,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = DataLink(peer, channel, self._put, self._ended, clock=clock)
        self.paused = False
        self._frames: deque[str | bytes] = deque()
        self._held = 0  # bytes, or characters of text: close enough to bound the memory
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[str | bytes], bool] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    async def get(self, take: Callable[[str | bytes], bool] | None = None) -> str | bytes:
        """Return the next message.

        Parameters
        ----------
        take : callable, optional
            Called with each message that arrives while this waits; must not raise. If it
            returns False, this returns the message.

        Raises
        ------
        TransportClosed
            The link has ended, and the last message was returned.
        """
        frames = self._frames
        while not frames:
            if self.link.ended is not None:
                raise self.link.ended
            self._waiter, self._take = asyncio.get_running_loop().create_future(), take
            try:
                await self._waiter
            finally:
                self._waiter = self._take = None
        frame = frames.popleft()
        self._held -= len(frame)
        if self.paused and len(frames) <= _RESUME_FRAMES and self._held <= _RESUME_LENGTH:
            self.paused = False
            self.link.resume()
        return frame

    def put_back(self, frames: list[str | bytes]) -> None:
        """Put frames back at the front, given in the order in which they were taken."""
        self._frames.extendleft(reversed(frames))
        self._held += sum(map(len, frames))

    def _put(self, frame: str | bytes) -> None:
        if self._take is not None and not self._frames and self._take(frame):
            return
        self._frames.append(frame)
        self._held += len(frame)
        self._wake()
        if not self.paused and (len(self._frames) > _PAUSE_FRAMES or self._held > _PAUSE_LENGTH):
            self.paused = True
            self.link.pause()

    def _ended(self, error: TransportClosed) -> None:
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
