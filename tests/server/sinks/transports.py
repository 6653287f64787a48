"""A transport that keeps what is written to it."""

from __future__ import annotations

import asyncio


class Protocol(asyncio.Protocol):
    """Tells when a transport takes more, as aiohttp's does."""

    def __init__(self) -> None:
        self.writable = asyncio.Event()

    async def _drain_helper(self) -> None:
        await self.writable.wait()


class Transport(asyncio.Transport):
    """Keeps what is written; `held` is what a slow client has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.held = 0
        self.high = 0
        self.protocol = Protocol()
        self.aborted = self.closed = False

    def is_closing(self) -> bool:
        return self.aborted or self.closed

    def get_write_buffer_size(self) -> int:
        return self.held

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def get_protocol(self) -> Protocol:
        return self.protocol

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True
