"""The library's WebSocket, as the transport needs it: bytes noted, messages offered, writes together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import CONT, DATA_OPCODES, Frame
from websockets.protocol import Event

from rtlab.client.transports.strict_reading import StrictReader

__all__ = ["WebSocketListener"]


class WebSocketListener(ClientConnection):
    """Notes when bytes arrive, and offers whole messages before they are queued.

    Attributes
    ----------
    heard : float
        When bytes last arrived, also those of a ping, which the library answers by itself.
    take : callable or None
        Offered each message while somebody waits for one, and none waits to be read.
    """

    heard = 0.0
    take: Callable[[Frame], bool] | None = None
    waiting_bytes = 0  # of frames that leave when this turn of the loop ends
    _wrote = False  # in this turn

    def __init__(self, protocol: ClientProtocol, *args: Any, **options: Any) -> None:
        protocol.reader = StrictReader()
        protocol.parser = protocol.parse()  # the library's has begun to read from the reader before
        next(protocol.parser)
        super().__init__(protocol, *args, **options)

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        if self.take is not None and isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            if event.fin and event.opcode is not CONT and self.take(event):
                return
            self.take = None  # this one comes first
        super().process_event(event)

    def write_together(self, data: bytes, *, text: bool) -> None:
        """Write a frame: the first in a turn of the loop at once, those behind it in one write at its end."""
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
        """Write what the library has made, frames that wait for it in one piece."""
        frames = self.protocol.writes
        self.waiting_bytes = 0
        if len(frames) > 1 and frames[-1]:  # an empty one half-closes the connection
            self.protocol.writes = [b"".join(frames)]
        super().send_data()
