"""A herd of plain reconnect loops, such as a notebook's reader writes, in the same outage as `real_herd`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect

from rtlab.errors import ConnectFailed, LabError
from rtlab.experiments.reconnect.herd_of_real_connections import enough_descriptors
from rtlab.experiments.reconnect.herd_result import HerdRun

__all__ = ["Dial", "loop_herd"]

#: Opens one WebSocket with the ``websockets`` library; each call counts as an attempt.
Dial = Callable[[], Awaitable[ClientConnection]]

_SPARE_DESCRIPTORS = 256
_GATHER_TIMEOUT = 20.0


async def loop_herd(
    loop: Callable[[Dial], Awaitable[object]],
    url: str,
    *,
    kill: Callable[[], None],
    restart: Callable[[], Awaitable[None]],
    capacity: float,
    clients: int = 100,
    outage: float = 0.5,
    duration: float = 5.0,
    connect_timeout: float = 5.0,
    bin_width: float = 0.1,
    label: str = "",
) -> HerdRun:
    """Run one loop for each client, kill their server, restart it, and count the clients that reconnect.

    Parameters
    ----------
    loop : coroutine function
        One client. It awaits ``dial()`` for each attempt and returns when it gives up.
    url : str
        URL of the server's WebSocket.
    kill, restart, clients, outage, duration, connect_timeout, bin_width, label
        As in `rtlab.experiments.reconnect.herd_of_real_connections.real_herd`.
    capacity : float
        Handshakes per second that the restarted server allows.

    Returns
    -------
    HerdRun
        A client whose loop has returned counts as having given up.

    Raises
    ------
    ConnectFailed
        When not all clients can connect at the beginning.
    LabError
        When a loop ended with an exception.
    """
    attempts: list[float] = []
    opened: list[tuple[float, float]] = []  # when it was open, and how many seconds that took
    sockets: list[ClientConnection] = []
    lost_at = 0.0

    async def dial() -> ClientConnection:
        began = time.monotonic()
        attempts.append(began)
        patience = connect_timeout if lost_at else _GATHER_TIMEOUT
        socket = await connect(url, compression=None, proxy=None, open_timeout=patience)
        opened.append((time.monotonic(), time.monotonic() - began))
        sockets.append(socket)
        return socket

    with enough_descriptors(clients + _SPARE_DESCRIPTORS):
        tasks = [asyncio.ensure_future(loop(dial)) for _ in range(clients)]
        try:
            await _until(lambda: len(opened) == clients or any(t.done() for t in tasks), _GATHER_TIMEOUT)
            if len(opened) < clients:
                raise ConnectFailed(f"{len(opened)} of {clients} clients could connect: is the server free?")
            attempts.clear()
            opened.clear()
            kill()
            lost_at = time.monotonic()
            await asyncio.sleep(outage)
            await restart()
            back_after = time.monotonic() - lost_at

            def settled() -> bool:
                return len(opened) + sum(task.done() for task in tasks) >= clients

            with contextlib.suppress(TimeoutError):
                await _until(settled, duration)
            watched = time.monotonic() - lost_at
        finally:
            ended = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for socket in sockets:
                socket.transport.abort()
    for task in ended:
        if (error := task.exception()) is not None:
            raise LabError(f"expected each loop to return or to go on, one ended with {error!r}") from error
    first = min((at - took - lost_at for at, took in opened), default=math.inf)
    return HerdRun.measured(
        label or getattr(loop, "__name__", "loop"),
        clients=clients,
        capacity=capacity,
        outage=min(back_after, first),
        duration=watched,
        bin_width=bin_width,
        attempts=[at - lost_at for at in attempts],
        accepted=[at - lost_at for at, _ in opened],
        gave_up=len(ended),
        longest_wait=max((took for _, took in opened), default=0.0),
    )


async def _until(condition: Callable[[], bool], timeout: float) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.02)
