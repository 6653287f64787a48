"""The sink of a long poll that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.sinks.sink_interface import write_each

__all__ = ["PollSink"]


class PollSink:
    """A long poll that waits. It writes nothing itself, but wakes the request's handler, which answers."""

    __slots__ = ("_woken", "close_code")
    transport: str = "longpoll"

    def __init__(self) -> None:
        self._woken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.close_code: int | None = None

    @property
    def written_bytes(self) -> int:
        return 0  # the handler writes the answer

    @property
    def queued_bytes(self) -> int:
        return 0

    @property
    def congested(self) -> bool:
        return False

    def when_writable(self, then: Callable[[], object]) -> None:
        then()

    def write(self, frame: EncodedFrame, position: int) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    def write_burst(self, burst: Burst, position: int) -> None:
        write_each(self, burst, position)

    async def wait(self, timeout: float) -> None:
        """Return when there is something to answer, or after `timeout` seconds."""
        await asyncio.wait((self._woken,), timeout=timeout)

    def flush(self) -> None:
        """Do nothing: the sink holds nothing, and the handler answers with all messages."""

    def close(self, code: int, reason: str = "") -> None:
        if self.close_code is None:
            self.close_code = code
        if not self._woken.done():
            self._woken.set_result(None)

    def abort(self) -> None:
        self.close(1006)

    def heartbeat(self) -> bool:
        """Send nothing: a poll ends by itself."""
        return True
