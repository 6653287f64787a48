"""The lab: servers and a fault proxy in processes of their own, started with one line."""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from rtlab.errors import LabError
from rtlab.lab.certificates import Certificates
from rtlab.lab.cluster_start import all_of, start_broker, until_together
from rtlab.lab.fetch_node_stats import node_stats
from rtlab.lab.haproxy_load_balancer import Balancer
from rtlab.lab.lab_description import as_html, as_text
from rtlab.lab.lab_node import LabNode
from rtlab.lab.lab_options_as_server_arguments import LabOptions, ServerOptions, as_arguments
from rtlab.processes.ports import HeldPort, accepts, can_hold_ports, http_ok
from rtlab.processes.start_child_process import Child

if TYPE_CHECKING:
    from rtlab.faults.client.fault_client import FaultClient
    from rtlab.lab.broker_servers import BrokerServer

__all__ = ["Lab"]

#: This process's labs, in weak references: a lab without another one is garbage collected, and killed.
_running: Final[weakref.WeakSet[Lab]] = weakref.WeakSet()


class Lab:
    """Server nodes, and optionally a fault proxy, on ephemeral ports of 127.0.0.1.

    Parameters
    ----------
    nodes : int
        How many server processes. With ``broker="nats"`` (``"redis"``, ``"rabbitmq"``, ``"kafka"``)
        or a broker's URL, they share their rooms. Several get a `balancer`, if HAProxy is installed.
    faults : bool
        Whether to start the fault proxy in front of the first node.
    tls : bool
        Whether to serve https and wss; `ssl` is the context that trusts this lab.
    seed : int
        Seed of everything random in the fault proxy.
    port : int
        The first node's port; 0 lets the system choose, and on Linux it stays the node's while that is down.
    start_timeout, stop_timeout : float
        Seconds that a child may take to get ready, and to stop before it is killed.
    **server
        Options of the server: see `ServerOptions`.

    Notes
    -----
    The child processes end with this process, however it ends. A lab that no variable
    refers to is killed when it is garbage collected, so a cell may be run again; a lab
    that IPython still keeps as an output is listed by `running`.

    Examples
    --------
    In a notebook::

        lab = await Lab.start()
        conn = WebSocketConnection(lab.ws_url)
        ...
        await lab.stop()

    In a program::

        async with Lab(nodes=3, broker="nats") as lab:
            ...
    """

    def __init__(
        self,
        *,
        nodes: int = 1,
        faults: bool = False,
        tls: bool = False,
        seed: int = 0,
        port: int = 0,
        # Timeouts
        start_timeout: float = 15.0,
        stop_timeout: float = 5.0,
        **server: Unpack[ServerOptions],
    ) -> None:
        if nodes < 1:
            raise LabError(f"expected at least one node, got nodes={nodes}")
        self._ports = [port] + [0] * (nodes - 1)
        self._with_faults = faults
        self._certificates = Certificates() if tls else None
        self._seed = seed
        self._start_timeout, self._stop_timeout = start_timeout, stop_timeout
        self._options = server
        self._arguments = as_arguments(server)
        self._token = secrets.token_urlsafe(16)
        self._state = "new"
        self._nodes, self._others = list[Child](), list[Child]()
        self._altered, self._held = set[int](), ExitStack()
        self._faults: FaultClient | None = None
        self._broker: BrokerServer | None = None
        self._balancer: Balancer | None = None

    @classmethod
    async def start(cls, **options: Unpack[LabOptions]) -> Self:
        """Start a lab, and return it once all of its processes answer.

        Parameters
        ----------
        **options
            As for `Lab`.

        Returns
        -------
        Lab

        Raises
        ------
        LabError
            When a child could not start; the message quotes its last lines.
        """
        return await cls(**options).__aenter__()

    @staticmethod
    def running() -> list[Lab]:
        """Return the labs of this process that have not been stopped.

        Returns
        -------
        list of Lab

        Examples
        --------
        Stop whatever earlier runs of a cell left behind::

            for old in Lab.running():
                await old.stop()
        """
        return [lab for lab in _running if lab._state == "running"]

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise LabError(
                f"expected a new lab, got one that is {self._state}: make another with Lab.start()"
            )
        self._state = "running"
        _running.add(self)
        try:
            self._broker = await start_broker(self._options)
            self._arguments = as_arguments(self._options)
            if can_hold_ports():  # each port that the caller did not choose, also while its server is down
                self._ports = [port or self._held.enter_context(HeldPort()).port for port in self._ports]
            self._nodes = [self._node(index, port) for index, port in enumerate(self._ports)]
            await all_of([self._ready(node) for node in self._nodes])
            if len(self._nodes) > 1 and Balancer.installed():
                self._balancer = await Balancer.start([n.port for n in self._nodes], self._certificates)
                self._others.append(self._balancer.child)
            if "broker" in self._options:
                await until_together(self.stats, len(self._nodes), self._start_timeout)
            if self._with_faults:
                await self._start_faults()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop every child. Safe to repeat, and after a child has died."""
        self._state = "stopped"
        faults, self._faults = self._faults, None
        try:
            if faults is not None:
                await faults.close()
        finally:
            children = (*self._others, *self._nodes)
            try:
                await asyncio.gather(*(child.stop(self._stop_timeout) for child in children))
            finally:  # an interrupt ends the wait, but no process is left
                for child in children:  # even if its `stop` had not begun
                    child.kill()
                self._held.close()
                for part in filter(None, (self._balancer, self._broker)):
                    await part.stop()
                if self._certificates is not None:
                    self._certificates.remove()

    # Addresses

    @property
    def url(self) -> str:
        """The first node, ``http://127.0.0.1:…`` (https with `tls`); raises `LabError` when it has died."""
        return self._living(0).url

    @property
    def ws_url(self) -> str:
        """The first node's WebSocket, ``ws://127.0.0.1:…/ws``."""
        return self._living(0).ws_url

    @property
    def nodes(self) -> list[LabNode]:
        """Every node, also those that have died: ``lab.nodes[1].url``, ``.ws_url``, ``.alive``."""
        self._check_runs()
        base = f"{'http' if self._certificates is None else 'https'}://127.0.0.1"
        return [
            LabNode(f"node-{n + 1}", f"{base}:{node.port}", node.alive, n in self._altered)
            for n, node in enumerate(self._nodes)
        ]

    @property
    def urls(self) -> list[str]:
        """The `url` of every node, including nodes that have died."""
        return [node.url for node in self.nodes]

    @property
    def ws_urls(self) -> list[str]:
        """The `ws_url` of every node, including nodes that have died."""
        return [node.ws_url for node in self.nodes]

    @property
    def ssl(self) -> SSLContext | None:
        """TLS context for the clients of a lab with `tls`; None without."""
        return self._certificates.client_context if self._certificates is not None else None

    @property
    def token(self) -> str:
        """The token that the admin routes require, as ``Authorization: Bearer …``."""
        return self._token

    @property
    def faults(self) -> FaultClient:
        """The fault proxy in front of the first node."""
        self.check()
        if self._faults is None:
            raise LabError("expected a lab with a fault proxy: start it with Lab.start(faults=True)")
        return self._faults

    @property
    def balancer(self) -> Balancer:
        """HAProxy in front of the nodes: ``lab.balancer.url``, and a URL for each policy."""
        self._check_runs()
        if self._balancer is None:
            raise LabError("expected several nodes, and HAProxy: Lab.start(nodes=3), `apt install haproxy`")
        return self._balancer

    @property
    def pids(self) -> list[int]:
        """The process ids of the lab's children, nodes first."""
        return [child.pid for child in self._children]

    def check(self) -> None:
        """Raise `LabError`, with the last lines of the child, when one has died.

        Raises
        ------
        LabError
            Also when the lab is not running.
        """
        self._check_runs()
        for child in self._children:
            child.check()

    def _check_runs(self) -> None:
        if self._state != "running":
            remedy = "run the cell with Lab.start(…), and then this one"
            raise LabError(f"expected a running lab, got one that is {self._state}: {remedy}")

    def _living(self, node: int) -> LabNode:
        self._check_runs()
        self._nodes[node].check()
        return self.nodes[node]

    @property
    def _children(self) -> list[Child]:
        """The children that should run: the nodes, and others that were not stopped on purpose."""
        return [*self._nodes, *(child for child in self._others if not child.stopped)]

    async def stats(self, node: int = 0) -> dict[str, Any]:
        """Return a node's counters (see `fetch_node_stats`); raises `LabError` if it does not answer."""
        return await node_stats(self._living(node).url, self._token, self.ssl)

    # Breaking and restoring

    def kill(self, node: int = 0) -> None:
        """Kill a node without warning (SIGKILL), as a crash would; `restart` starts it again."""
        self._nodes[node].kill()

    async def restart(self, node: int = 0, **changed: Unpack[ServerOptions]) -> None:
        """Stop a node gracefully, and start a fresh one at the same address.

        Parameters
        ----------
        node : int
            Index of the node, from 0.
        **changed
            Options that differ from the lab's own, until the next restart: see `ServerOptions`.

        Raises
        ------
        LabError
            When the node does not start again, or the lab is not running and could not stop it.
        """
        self._check_runs()
        options = as_arguments({**self._options, **changed})
        old = self._nodes[node]
        (self._altered.add if changed else self._altered.discard)(node)
        try:
            await old.stop(self._stop_timeout)
        finally:
            if self._state == "running":  # after an interrupt, too: a node must not be missing
                self._nodes[node] = self._node(node, old.port, options)
                self._nodes[node].port = old.port
        await self._ready(self._nodes[node])

    async def reset(self) -> None:
        """Make the lab as good as new: no faults, fresh servers, the same addresses.

        Raises
        ------
        LabError
            When a node does not start again.
        """
        if self._faults is not None:
            await self._faults.restore()
        await all_of([self.restart(node) for node in range(len(self._nodes))])

    async def spawn(self, argv: Sequence[str], *, name: str = "", port: int | None = None) -> Child:
        """Run a third-party program (redis, nginx, …) that ends with the lab.

        Parameters
        ----------
        argv : sequence of str
            The command; it must stay in the foreground.
        name : str
            Name for messages and errors; by default that of the program.
        port : int, optional
            Wait until this port of 127.0.0.1 accepts connections.

        Returns
        -------
        Child
            ``await child.stop(timeout)`` ends it earlier.

        Raises
        ------
        LabError
            When the program is not installed, ends, or does not open its port.
        """
        self.check()
        child = Child.guarded(name or argv[0].rpartition("/")[2], argv)
        self._others.append(child)
        try:
            if port is not None:
                await child.until(lambda: accepts(port), self._start_timeout)
        except BaseException:
            self._others.remove(child)
            child.kill()
            raise
        return child

    # Display

    def __repr__(self) -> str:
        return f"<Lab: {self._describe()}>"

    def _repr_html_(self) -> str:
        return as_html(self._describe(), running=self._state == "running")

    def _describe(self) -> str:
        dead = [child.name for child in self._children if not child.alive]
        return as_text(len(self._ports), faults=self._with_faults, state=self._state, dead=dead)

    # Starting children

    def _node(self, index: int, port: int, options: list[str] | None = None) -> Child:
        where = ["--port", str(port), "--node", f"node-{index + 1}"]
        if self._certificates is not None:
            where += self._certificates.arguments
        name = "server" if len(self._ports) == 1 else f"server node-{index + 1}"
        where += self._arguments if options is None else options
        return Child.module(name, "rtlab.server", *where, token=self._token)

    async def _ready(self, child: Child) -> None:
        port = await child.announced(self._start_timeout)
        await child.until(lambda: http_ok(port, "/healthz", ssl=self.ssl), self._start_timeout)

    async def _start_faults(self) -> None:
        from rtlab.faults.client.fault_client import FaultClient

        child = Child.module("fault proxy", "rtlab.faults", "--port", "0", token=self._token)
        self._others.append(child)
        port = await child.announced(self._start_timeout)
        client = FaultClient(f"http://127.0.0.1:{port}", self._token, "127.0.0.1", self._nodes[0].port)
        self._faults = await client.start(seed=self._seed)
