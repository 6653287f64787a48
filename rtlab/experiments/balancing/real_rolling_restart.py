"""A rolling restart behind a load balancer, with real connections: which clients move, and to which node."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from rtlab.errors import LabError

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab
    from rtlab.lab.lab_options_as_server_arguments import ServerOptions

__all__ = ["RollingRestart", "real_rolling_restart"]

_TIMEOUT: Final = 60.0
_RETRY: Final = 0.02


class RollingRestart(NamedTuple):
    """What was observed during a rolling restart.

    Parameters
    ----------
    loads : list of list of int
        Clients on each node, before the first restart and after each restart.
    reconnects : list of float
        Time of each reconnect, in seconds since the first restart began.
    clients : int
        Number of clients.
    """

    loads: list[list[int]]
    reconnects: list[float]
    clients: int

    @property
    def per_client(self) -> float:
        """Mean number of reconnects per client."""
        return len(self.reconnects) / self.clients

    def busiest(self, seconds: float = 0.1) -> int:
        """Return the largest number of reconnects within any window of `seconds`."""
        times = sorted(self.reconnects)
        return max((sum(at <= other < at + seconds for other in times) for at in times), default=0)


async def real_rolling_restart(
    lab: Lab,
    policy: str,
    *,
    clients: int = 30,
    spare: int | None = None,
    stop_window: float | None = None,
    on_step: Callable[[Sequence[int]], object] = lambda loads: None,
) -> RollingRestart:
    """Restart every node in turn, while clients that lose their connection reconnect at once.

    Each node is first taken out of the balancer's rotation, as in a deployment. Then it is stopped, and a
    new process replaces it.

    Parameters
    ----------
    lab : Lab
        With a balancer.
    policy : str
        One of `rtlab.lab.haproxy_load_balancer_config.BALANCER_POLICIES`.
    clients : int
        Number of clients, with one WebSocket connection each.
    spare : int, optional
        Index of a node that starts outside the rotation ("start before drain"). It joins before the first
        node leaves; each restarted node then stays out as the spare, and joins before the next node
        leaves. None: there is no spare, and each node rejoins after its own restart.
    stop_window : float, optional
        Seconds over which the *new* processes will spread their close frames when they stop. None leaves
        the server's own setting.
    on_step : callable
        Called with the clients on each node before the first restart and after each restart.

    Returns
    -------
    RollingRestart

    Raises
    ------
    LabError
        When a client finds no node in time.
    """
    balancer, herd = lab.balancer, _Herd(lab.balancer.ws_through(policy), len(lab.urls))
    changed: ServerOptions = {} if stop_window is None else {"stop_window": stop_window}
    order = [node for node in range(len(lab.urls)) if node != spare]
    loads: list[list[int]] = []

    async def step(first: bool = False) -> None:
        await herd.until_all_in(clients)
        loads.append(herd.loads())
        on_step(loads[-1])
        if first:
            herd.begin()

    for node, seen in enumerate(lab.nodes):
        if not seen.alive:  # an interrupted run left it stopped
            await lab.restart(node, **changed)
    await balancer.restore()
    try:
        if spare is not None:
            await balancer.set_state(spare, "maint")
        await herd.gather(clients)
        await step(first=True)
        for node in order:
            if spare is not None:
                await balancer.set_state(spare, "ready")
                await balancer.until_up(spare)
            await balancer.set_state(node, "maint")
            await lab.restart(node, **changed)
            if spare is None:
                await balancer.set_state(node, "ready")
                await balancer.until_up(node)
            else:
                spare = node
            await step()
    finally:
        await herd.close()
        for node in range(len(herd.loads())):
            await balancer.set_state(node, "ready")
    return RollingRestart(loads, herd.reconnects, clients)


class _Herd:
    """Bare WebSocket clients that always reconnect at once; the welcome message names a client's node."""

    def __init__(self, url: str, nodes: int) -> None:
        self._url = url
        self._names = [f"node-{n + 1}" for n in range(nodes)]
        self._at: dict[int, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._began = time.monotonic()
        self._counts = False
        self.reconnects: list[float] = []

    async def gather(self, clients: int) -> None:
        for n in range(clients):  # one by one, so that the policy alone decides the node
            self._tasks.append(asyncio.create_task(self._live(n), name=f"client {n}"))
            await self.until_all_in(n + 1)

    def begin(self) -> None:
        self._began, self._counts = time.monotonic(), True

    def loads(self) -> list[int]:
        counts = Counter(self._at.values())
        return [counts[name] for name in self._names]

    async def until_all_in(self, clients: int) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                while len(self._at) < clients:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise LabError(
                f"{clients - len(self._at)} of {clients} clients found no node within {_TIMEOUT:g} s: "
                "look at `lab.check()`, and run this cell again"
            ) from None

    async def close(self) -> None:
        self._counts = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live(self, number: int) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        first = True
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                async with connect(self._url, proxy=None, compression=None, close_timeout=0.5) as ws:
                    self._at[number] = json.loads(await ws.recv())["payload"]["node"]
                    if self._counts and not first:
                        self.reconnects.append(time.monotonic() - self._began)
                    first = False
                    self._changed.set()
                    try:
                        await ws.wait_closed()
                    finally:
                        del self._at[number]
                    continue
            await asyncio.sleep(_RETRY)
