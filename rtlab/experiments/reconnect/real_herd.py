"""The same herd with real connections.

A thousand connections to a real server; the server is killed, and started again. Nothing is
scaled or modelled: each client is a `Connection` with the policy and a generator of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import numpy as np

from rtlab.client.connection import Connection
from rtlab.client.transports.base import Transport
from rtlab.errors import LabError
from rtlab.experiments.reconnect.herd_run import HerdRun
from rtlab.policies.backoff import Backoff
from rtlab.processes.tasks import together

__all__ = ["enough_descriptors", "real_herd"]

#: Connections that open at the same time before the outage. After it there is no limit.
_GATHERING = 64

#: Descriptors that the rest of the process may need.
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
    """Connect a herd, kill its server, start it again, and watch until all are back.

    Parameters
    ----------
    transport : callable
        Makes the transport of one attempt: ``lambda: WebSocketTransport(lab.ws_url)``, with
        the address read beforehand.
    policy : Backoff
        How every client reconnects.
    kill : callable
        Ends the server without a word: ``lab.kill``.
    restart : coroutine function
        Starts it again at the same address, and returns when it listens: ``lab.restart``.
    clients : int
        How many connections.
    outage : float
        Seconds between `kill` and `restart`; starting takes its own time on top.
    duration : float
        Seconds after the server's return at which the run ends, whoever is still outside.
    connect_timeout : float
        Seconds for one attempt.
    max_retry_after : float
        The longest ``Retry-After`` that clients obey, in seconds; by default they are as deaf to
        it as a page's `WebSocket`.
    capacity : float or None
        Handshakes per second that the restarted server allows; None: as fast as the herd gathered.
    bin_width : float
        Seconds of one point on the curves.
    seed : int
        Client i draws its jitter from ``default_rng([seed, i])``.
    label : str
        What to call it; the policy's class by default.
    gathered : coroutine function, optional
        Awaited between gathering and `kill`, where several herds wait for each other.
    on_return : callable
        Called with the moment of the loss whenever a client is back.

    Returns
    -------
    HerdRun
        Its `outage` is the measured one; every attempt that failed counts as refused.

    Raises
    ------
    ConnectFailed
        When the herd cannot gather.
    LabError
        When this process may not open as many descriptors.
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
        # The server listens a little before `restart` returns: the first attempt that was not refused
        # may have begun earlier, and then marks the end of the outage.
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
        self.first_admitted = math.inf  # when the first attempt began that was not refused
        self.longest_wait = 0.0
        self.gave_up = 0
        self.settled = asyncio.Event()  # each client is back, or has given up
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
        """Connect all; return the seconds it took."""
        began, few = time.monotonic(), asyncio.Semaphore(_GATHERING)

        async def join(connection: Connection) -> None:
            async with few:
                await connection.connect()

        await together(*map(join, self._connections))
        return time.monotonic() - began

    def lose(self) -> float:
        """Count from now on; return the time."""
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


@contextlib.contextmanager
def enough_descriptors(needed: int) -> Generator[None]:
    """Raise the limit of open descriptors for a while, where the system has one.

    Raises
    ------
    LabError
        When the hard limit is lower.
    """
    if sys.platform == "win32":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LabError(
            f"expected {needed:,} open descriptors to be allowed, got {hard:,}: "
            "use fewer clients, or raise the hard limit (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
