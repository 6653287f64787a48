"""A broker of two processes: two NATS servers that form one cluster, some milliseconds apart.

A message published at one server reaches the subscribers of the other over a link between them, with a
delay. Messages of one sender keep their order everywhere; messages of two senders need not.
"""

from __future__ import annotations

from typing import Final

from rtlab.faults.client.fault_client import FaultClient
from rtlab.lab.broker_servers import find_broker
from rtlab.processes.ports import HeldPort, accepts
from rtlab.processes.start_child_process import Child

__all__ = ["TwoZones"]

_START_TIMEOUT: Final = 20.0


class TwoZones:
    """Two NATS servers without storage, on 127.0.0.1, as an asynchronous context.

    Parameters
    ----------
    faults : FaultClient
        The fault proxy of a lab, which delays the traffic between the two servers.
    distance : float
        One-way delay between the servers in seconds.

    Attributes
    ----------
    urls : list of str
        URLs of both servers.

    Examples
    --------
    ::

        async with TwoZones(lab.faults, 0.01) as zones:
            here, there = [await nats.connect(url) for url in zones.urls]
    """

    def __init__(self, faults: FaultClient, distance: float) -> None:
        self._program = find_broker("nats")
        self._held = [HeldPort() for _ in range(4)]
        self._route, self._second_route, *self._ports = (held.port for held in self._held)
        self._link = FaultClient(faults.api_url, faults.token, "127.0.0.1", self._route, name="zones")
        self._distance_ms = 1e3 * distance
        self._children: list[Child] = []
        self.urls: list[str] = []

    async def __aenter__(self) -> TwoZones:
        try:
            await self._link.start()
            await self._link.rtt(2 * self._distance_ms)
            await self._add("--cluster", f"nats://127.0.0.1:{self._route}")
            await self._add(
                *("--cluster", f"nats://127.0.0.1:{self._second_route}"),
                *("--routes", f"nats://127.0.0.1:{self._link.port}"),
            )
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _add(self, *words: str) -> None:
        port = self._ports[len(self._children)]
        argv = [self._program, "--addr", "127.0.0.1", "--port", str(port), "--cluster_name", "zones", *words]
        child = Child.guarded(f"NATS {len(self._children) + 1}", argv)
        self._children.append(child)
        await child.until(lambda: accepts(port), _START_TIMEOUT)
        self.urls.append(f"nats://127.0.0.1:{port}")

    async def _end(self) -> None:
        children, self._children = self._children, []
        try:
            for child in children:
                child.kill()
            await self._link.close()
        finally:
            for held in self._held:
                held.close()
