"""The pings of one connection that no pong has answered yet, as `websockets` keeps them."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable
from typing import Any, Final, cast

from websockets.exceptions import ConcurrencyError, ProtocolError

__all__ = ["PendingPings", "check_ping"]

#: A control frame carries at most so many bytes (RFC 6455 §5.5).
MAX_PING_BYTES: Final = 125


def check_ping(data: bytes) -> None:
    """Raise `ProtocolError` if a ping frame cannot carry these bytes."""
    if len(data) > MAX_PING_BYTES:
        raise ProtocolError("control frame too long")


class PendingPings:
    """Pings that wait for a pong, oldest first.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Its clock measures the round trips.

    Examples
    --------
    >>> async def two():
    ...     pings = PendingPings(asyncio.get_running_loop())
    ...     (first, earlier), (second, later) = pings.add(None), pings.add("again")
    ...     pings.answered(second)
    ...     return first, second, earlier.done(), later.done()
    >>> asyncio.run(two())
    (b'\\x00\\x00\\x00\\x01', b'again', True, True)
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, tuple[float, asyncio.Future[float]]] = {}

    def add(self, data: Any) -> tuple[bytes, asyncio.Future[float]]:
        """Return the bytes of a new ping, and the future of its round trip in seconds.

        Parameters
        ----------
        data : str, bytes-like or None
            What the ping carries; None: four bytes that no waiting ping has.

        Raises
        ------
        websockets.exceptions.ConcurrencyError
            If a ping with the same data waits.
        websockets.exceptions.ProtocolError
            If the data takes more than 125 bytes.
        """
        payload = self._payload(data)
        check_ping(payload)
        if payload in self._waiting:
            raise ConcurrencyError("already waiting for a pong with the same data")
        future: asyncio.Future[float] = self._loop.create_future()
        self._waiting[payload] = (self._loop.time(), future)
        return payload, future

    def _payload(self, data: Any) -> bytes:
        if isinstance(data, str):
            return data.encode()
        if data is not None:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError("data must be str or bytes-like")
            return bytes(cast("bytes", data))
        # By number, not at random as in the library, so that each run of a test is the same.
        while (payload := struct.pack("!I", next(self._numbers))) in self._waiting:
            pass
        return payload

    def answered(self, data: bytes) -> None:
        """Complete the ping with this data, and all earlier ones: a peer may answer the newest only."""
        if data not in self._waiting:  # an unsolicited pong (RFC 6455 §5.5.3)
            return
        done = False
        while not done:
            payload = next(iter(self._waiting))
            sent, future = self._waiting.pop(payload)
            if not future.done():
                future.set_result(self._loop.time() - sent)
            done = payload == data

    def end(self, error: Callable[[], Exception]) -> None:
        """Let all waiting pings fail: the connection has ended."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(error())
                future.exception()  # retrieved, so that asyncio logs nothing
        self._waiting.clear()
