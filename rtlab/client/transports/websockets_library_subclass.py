"""A subclass of the `websockets` library's connection: records arrivals, joins writes, and ends in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import CONT, DATA_OPCODES, Frame
from websockets.protocol import Event

from rtlab.client.transports.websockets_frame_checks import StrictReader

__all__ = ["WebSocketListener"]


class WebSocketListener(ClientConnection):
    """Records when bytes arrive, offers whole messages before they are queued, and joins writes.

    It also bounds the closing handshake. After a close frame the server should close the TCP connection
    (RFC 6455 §7.1.1). The library waits for that without a limit, unless somebody sends.

    Attributes
    ----------
    heard : float
        When bytes last arrived, in monotonic seconds; those of pings, which the library answers, count.
    take : callable or None
        Offered each message while `receive` waits and no earlier message is queued.
    """

    heard = 0.0
    take: Callable[[Frame], bool] | None = None
    waiting_bytes = 0  # of frames that are written at the end of this turn of the event loop
    _wrote = False  # whether a frame was written in this turn
    _ending: asyncio.TimerHandle | None = None  # drops a TCP connection that the server leaves open

    def __init__(self, protocol: ClientProtocol, *args: Any, **options: Any) -> None:
        protocol.reader = StrictReader()
        protocol.parser = protocol.parse()  # the library's parser already reads from the former reader
        next(protocol.parser)
        super().__init__(protocol, *args, **options)

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        super().data_received(data)
        if self.close_deadline is not None and self._ending is None:
            self._ending = self.loop.call_at(self.close_deadline, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ending is not None:
            self._ending.cancel()
        super().connection_lost(exc)

    def process_event(self, event: Event) -> None:
        if self.take is not None and isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            if event.fin and event.opcode is not CONT and self.take(event):
                return
            self.take = None  # this message is queued; later ones must not overtake it
        super().process_event(event)

    def write_together(self, data: bytes, *, text: bool) -> None:
        """Write the first frame of a turn of the event loop at once; later ones together at its end."""
        (self.protocol.send_text if text else self.protocol.send_binary)(data)
        if self._wrote:
            self.waiting_bytes += len(data)
        else:
            self._wrote = True
            self.loop.call_soon(self._end_turn)
            self.send_data()

    def _end_turn(self) -> None:
        self._wrote = False
        if self.protocol.writes:
            self.send_data()

    def send_data(self) -> None:
        """Write the library's pending frames to the socket, joined into one write."""
        frames = self.protocol.writes
        self.waiting_bytes = 0
        if len(frames) > 1 and frames[-1]:  # an empty item is the library's mark to half-close the connection
            self.protocol.writes = [b"".join(frames)]
        super().send_data()
