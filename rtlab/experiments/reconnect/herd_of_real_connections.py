"""The herd of `rtlab.experiments.reconnect.herd_simulation`, with real connections.

A thousand clients connect to a real server, which is killed and restarted. Nothing is scaled or modelled:
each client is a `Connection` with the policy and a random generator of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from rtlab.client.connection import Connection
from rtlab.client.transports.transport_interface import Transport
from rtlab.experiments.reconnect.herd_result import HerdRun
from rtlab.policies.backoff import Backoff
from rtlab.processes.descriptor_limit import enough_descriptors
from rtlab.processes.owned_tasks import together

__all__ = ["real_herd"]

#: Connections that are opened concurrently before the outage. After it there is no limit.
_GATHERING = 64

#: File descriptors reserved for the rest of the process.
_SPARE_DESCRIPTORS = 256


async def real_herd(
    transport: Callable[[], Transport],
    policy: Backoff,
    *,
    kill: Callable[[], None],
    restart: Callable[[], Awaitable[None]],
    clients: int = 1_000,
    outage: float = 2.0,
    duration: float = 20.0,
    connect_timeout: float = 5.0,
    max_retry_after: float = 0.0,
    capacity: float | None = None,
    bin_width: float = 0.25,
    seed: int = 1,
    label: str = "",
    gathered: Callable[[], Awaitable[object]] | None = None,
    on_return: Callable[[float], object] = lambda lost_at: None,
) -> HerdRun:
    """Connect a herd, kill its server, restart it, and observe until all clients have reconnected.

    Parameters
    ----------
    transport : callable
        Makes the transport of one attempt, such as ``lambda: WebSocketTransport(url)``; read the URL from
        the lab before the outage.
    policy : Backoff
        Backoff policy of every client.
    kill : callable
        Kills the server without a close frame, such as ``lab.kill``.
    restart : coroutine function
        Starts the server at the same address and returns when it listens, such as ``lab.restart``.
    clients : int
        Number of clients.
    outage : float
        Seconds between `kill` and `restart`. The start of the server prolongs the outage.
    duration : float
        Seconds after the server's return at which the run ends, even if some clients are not connected.
    connect_timeout : float
        Timeout of one attempt in seconds.
    max_retry_after : float
        Longest hint of the server in seconds that clients obey, see `Connection`. By default they ignore
        ``Retry-After``, as a page's `WebSocket` does.
    capacity : float or None
        Handshakes per second that the restarted server allows. None takes the rate at which the herd
        connected before the outage.
    bin_width : float
        Width of a bin of the curves in seconds.
    seed : int
        Seed; client i draws its jitter from ``default_rng([seed, i])``.
    label : str
        Name of the run. Empty: the name of the policy's class.
    gathered : coroutine function, optional
        Awaited after all clients have connected and before `kill`; lets several herds wait for each other.
    on_return : callable
        Called whenever a client has reconnected, with the time of the server's loss on the monotonic clock.

    Returns
    -------
    HerdRun
        The result, with the measured `outage`. Every attempt that failed counts as refused.

    Raises
    ------
    ConnectFailed
        When not all clients can connect at the beginning.
    LabError
        When this process may not open enough file descriptors.
    """
    herd = _RealHerd(transport, policy, connect_timeout, max_retry_after, clients, seed, on_return)
    with enough_descriptors(clients + _SPARE_DESCRIPTORS):
        try:
            gathered_in = await herd.gather()
            if gathered is not None:
                await gathered()
            kill()
            lost_at = herd.lose()
            await asyncio.sleep(outage)
            await restart()
            back_after = time.monotonic() - lost_at
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(duration):
                    await herd.settled.wait()
            watched = time.monotonic() - lost_at
        finally:
            await herd.close()

    return HerdRun.measured(
        label or type(policy).__name__,
        clients=clients,
        capacity=clients / gathered_in if capacity is None else capacity,
        # The server listens shortly before `restart` returns. If the first successful attempt began before
        # that, it marks the end of the outage.
        outage=min(back_after, herd.first_admitted - lost_at),
        duration=watched,
        bin_width=bin_width,
        attempts=[at - lost_at for at in herd.attempts],
        accepted=[at - lost_at for at in herd.accepted],
        gave_up=herd.gave_up,
        longest_wait=herd.longest_wait,
    )


class _RealHerd:
    def __init__(
        self,
        transport: Callable[[], Transport],
        policy: Backoff,
        timeout: float,
        max_retry_after: float,
        clients: int,
        seed: int,
        on_return: Callable[[float], object],
    ) -> None:
        self.attempts: list[float] = []
        self.accepted: list[float] = []
        self.first_admitted = math.inf  # when the first successful attempt began
        self.longest_wait = 0.0
        self.gave_up = 0
        self.settled = asyncio.Event()  # each client has reconnected or given up
        self._storm = False
        self._lost_at = 0.0
        self._on_return = on_return

        def attempt() -> Transport:
            if self._storm:
                self.attempts.append(time.monotonic())
            return transport()

        self._connections = [
            Connection(
                attempt,
                backoff=policy,
                connect_timeout=timeout,
                max_retry_after=max_retry_after,
                rng=np.random.default_rng([seed, index]),
            )
            for index in range(clients)
        ]
        for connection in self._connections:
            connection.on("connected", self._connected)
            connection.on("error", self._failed)

    async def gather(self) -> float:
        """Connect all clients; return the seconds that it took."""
        began, few = time.monotonic(), asyncio.Semaphore(_GATHERING)

        async def join(connection: Connection) -> None:
            async with few:
                await connection.connect()

        await together(*map(join, self._connections))
        return time.monotonic() - began

    def lose(self) -> float:
        """Start to count attempts and connections; return the time on the monotonic clock."""
        self._storm = True
        self._lost_at = time.monotonic()
        return self._lost_at

    async def close(self) -> None:
        self._storm = False
        await asyncio.gather(*(connection.close() for connection in self._connections))

    def _connected(self, event: Any) -> None:
        if not self._storm:
            return
        self.accepted.append(event.at)
        self.first_admitted = min(self.first_admitted, event.at - event.connect_time)
        self.longest_wait = max(self.longest_wait, event.connect_time)
        self._on_return(self._lost_at)
        self._settle()

    def _failed(self, event: Any) -> None:
        if event.code == "gave_up":
            self.gave_up += 1
            self._settle()

    def _settle(self) -> None:
        if len(self.accepted) + self.gave_up == len(self._connections):
            self.settled.set()
