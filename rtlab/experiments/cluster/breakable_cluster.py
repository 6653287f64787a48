"""Nodes behind a broker: one node can be killed, paused or cut off, and the broker can be paused."""

from __future__ import annotations

import os
import signal
import weakref
from typing import Final, Self, Unpack

from rtlab.errors import LabError
from rtlab.faults.client.fault_client import FaultClient
from rtlab.lab.broker_servers import BrokerServer
from rtlab.lab.cluster_start import until_together
from rtlab.lab.lab import Lab
from rtlab.lab.lab_options_as_server_arguments import ServerOptions
from rtlab.server.brokers.cluster.rendezvous_room_owner import owner_of

__all__ = ["BreakableCluster"]

_TOGETHER: Final = 20.0

_running: Final[weakref.WeakSet[BreakableCluster]] = weakref.WeakSet()


class BreakableCluster:
    """A lab whose last node, the *victim*, reaches the broker through a fault proxy. Make it with `start`.

    Parameters
    ----------
    lab : Lab
        A lab with several nodes and a fault proxy.
    broker : BrokerServer
        The broker that the nodes share.
    link : FaultClient
        The fault proxy between the victim and the broker.

    Attributes
    ----------
    urls, ws_urls : list of str
        URLs of all nodes, including one that is dead.
    victim : int
        Index of the victim among the nodes.

    Examples
    --------
    ::

        cluster = await BreakableCluster.start()
        cluster.lab.kill(cluster.victim)
        await cluster.heal()
        await cluster.stop()
    """

    def __init__(self, lab: Lab, broker: BrokerServer, link: FaultClient) -> None:
        self.lab = lab
        self.broker = broker
        self.link = link
        self.urls, self.ws_urls = lab.urls, lab.ws_urls
        self.victim = len(self.urls) - 1
        self._paused: list[int] = []
        self._broker_paused = False
        _running.add(self)

    @classmethod
    async def start(cls, kind: str = "nats", *, nodes: int = 3, **options: Unpack[ServerOptions]) -> Self:
        """Start broker, nodes and proxy.

        Parameters
        ----------
        kind : str
            Kind of broker: one of `rtlab.lab.broker_servers.BROKERS`.
        nodes : int
            Number of nodes.
        **options
            Options of the nodes: see `ServerOptions`.

        Raises
        ------
        LabError
            When one of them does not start, or the broker is not installed; the message says how to get it.
        """
        server = await BrokerServer.start(kind)
        lab = None
        try:
            options["broker"] = server.url
            lab = await Lab.start(nodes=nodes, faults=True, **options)
            faults = lab.faults
            link = FaultClient(faults.api_url, faults.token, "127.0.0.1", server.port, name="broker")
            await link.start()
            cluster = cls(lab, server, link)
            await cluster._restart_victim()
        except BaseException:
            if lab is not None:
                await lab.stop()
            await server.stop()
            raise
        return cluster

    @staticmethod
    def running() -> list[BreakableCluster]:
        """Return the clusters that this process has started and not yet stopped."""
        return list(_running)

    @property
    def victim_name(self) -> str:
        """Node name of the victim, such as ``"node-3"``."""
        return f"node-{self.victim + 1}"

    def room(self, owner: int | None = None, prefix: str = "room") -> str:
        """Return the name of a room that a given node owns, so that this node numbers its messages.

        Parameters
        ----------
        owner : int, optional
            Index of the node. None: the victim.
        prefix : str
            Beginning of the room's name.
        """
        names = [f"node-{n + 1}" for n in range(len(self.urls))]
        wanted = names[self.victim if owner is None else owner]
        return next(name for n in range(10_000) if owner_of(name := f"{prefix} {n}", names) == wanted)

    def pause(self, node: int) -> None:
        """Pause a node's process (SIGSTOP): its connections stay open, but it answers nothing."""
        pid = self.lab.pids[node]
        self._paused.append(pid)
        os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume all paused nodes and the broker (SIGCONT)."""
        while self._paused:
            os.kill(self._paused.pop(), signal.SIGCONT)
        if self._broker_paused:
            self.broker.resume()
            self._broker_paused = False

    def pause_broker(self) -> None:
        """Pause the broker's process (SIGSTOP)."""
        self._broker_paused = True
        self.broker.pause()

    async def heal(self) -> None:
        """End all faults, restart the victim if it is dead, and wait until all nodes know each other.

        Raises
        ------
        LabError
            When the cluster was stopped, or its nodes do not find each other in time.
        """
        if self not in _running:
            raise LabError(
                "expected a running cluster, got one that is stopped: use `await BreakableCluster.start()`, "
                "a `Lab.start` with a broker and a proxy"
            )
        self.resume()
        await self.link.restore()
        try:
            self.lab.check()
        except LabError:  # the victim was killed
            await self._restart_victim()
        await self._together()

    async def _restart_victim(self) -> None:
        scheme = self.broker.url.partition("://")[0]
        await self.lab.restart(self.victim, broker=f"{scheme}://127.0.0.1:{self.link.port}")
        await self._together()

    async def _together(self) -> None:
        await until_together(self.lab.stats, len(self.urls), _TOGETHER)

    async def stop(self) -> None:
        """Stop nodes, proxy and broker. Safe to repeat."""
        _running.discard(self)
        self.resume()
        try:
            await self.link.close()
            await self.lab.stop()
        finally:
            await self.broker.stop()
