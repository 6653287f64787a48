"""The load balancer in front of a lab's nodes: a real HAProxy, and an operator's commands to it."""

from __future__ import annotations

import asyncio
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from rtlab.errors import LabError
from rtlab.lab.haproxy_load_balancer_config import (
    BALANCER_POLICIES,
    BalancerTls,
    balancer_config,
    balancer_lines,
)
from rtlab.processes.find_program import find_program
from rtlab.processes.ports import HeldPort, accepts
from rtlab.processes.start_child_process import Child

if TYPE_CHECKING:
    from rtlab.lab.certificates import Certificates

__all__ = ["Balancer"]

_START_TIMEOUT: Final = 30.0
_STOP_TIMEOUT: Final = 3.0
_COMMAND_TIMEOUT: Final = 10.0


class Balancer:
    """HAProxy in front of a lab's nodes, with a URL for each balancing policy. Create it with `start`.

    Parameters
    ----------
    nodes : sequence of int
        The nodes' ports on 127.0.0.1.
    certificates : Certificates, optional
        Those of a lab with TLS; without them, the balancer and the nodes speak plain HTTP.

    Examples
    --------
    ::

        async with Lab(nodes=3, broker="nats") as lab:
            async with WebSocketConnection(lab.balancer.ws_through("least_connections")) as conn:
                ...
            await lab.balancer.set_state(0, "drain")  # no new connections for the first node
    """

    def __init__(self, nodes: Sequence[int], certificates: Certificates | None = None) -> None:
        self._scheme = "http" if certificates is None else "https"
        self._nodes = len(nodes)
        self._folder = tempfile.TemporaryDirectory(prefix="rtlab-balancer-")
        self._held = {policy: HeldPort() for policy in BALANCER_POLICIES}
        ports = {policy: held.port for policy, held in self._held.items()}
        folder, tls = Path(self._folder.name), None
        self._socket = folder / "admin.sock"
        if certificates is not None:
            tls = BalancerTls(str(folder / "balancer.pem"), str(certificates.cafile))
            pem = certificates.certfile.read_bytes() + certificates.keyfile.read_bytes()
            Path(tls.certificate).write_bytes(pem)
        self._config = folder / "haproxy.cfg"
        self._config.write_text(balancer_config(str(folder), nodes, ports, tls), encoding="utf-8")
        self._child: Child | None = None

    @staticmethod
    def installed() -> bool:
        """Return whether this machine has HAProxy."""
        return find_program("haproxy") is not None

    @classmethod
    async def start(cls, nodes: Sequence[int], certificates: Certificates | None = None) -> Self:
        """Start a balancer, and return it once it accepts connections and its health checks see all nodes up.

        Parameters
        ----------
        nodes, certificates
            As for `Balancer`.

        Returns
        -------
        Balancer

        Raises
        ------
        LabError
            When HAProxy does not start, or does not see the nodes up in time.
        """
        balancer = cls(nodes, certificates)
        try:
            balancer._child = Child.guarded("haproxy", ["haproxy", "-db", "-f", str(balancer._config)])
            for held in balancer._held.values():
                await balancer.child.until(lambda held=held: accepts(held.port), _START_TIMEOUT)
            await balancer.child.until(balancer._takes_commands, _START_TIMEOUT)
            for node in range(len(nodes)):
                await balancer.until_up(node)
        except BaseException:
            await balancer.stop()
            raise
        return balancer

    async def stop(self) -> None:
        """Stop HAProxy, release its ports, and remove its files. Safe to repeat."""
        try:
            if self._child is not None:
                await self._child.stop(_STOP_TIMEOUT)
        finally:
            for held in self._held.values():
                held.close()
            self._folder.cleanup()

    @property
    def child(self) -> Child:
        """HAProxy's process."""
        assert self._child is not None
        return self._child

    # Addresses

    @property
    def url(self) -> str:
        """The URL of the ``sticky_cookie`` policy, which serves clients of all transports."""
        return self.through("sticky_cookie")

    def through(self, policy: str) -> str:
        """Return the URL at which a policy chooses the node, ``http://127.0.0.1:…``.

        Parameters
        ----------
        policy : str
            One of `BALANCER_POLICIES`: ``"round_robin"``, ``"least_connections"``, ``"two_choices"``
            (two nodes at random, the one with fewer connections), ``"sticky_cookie"``,
            ``"consistent_hash"`` and ``"modulo_hash"`` (of the ``clientId``, so give the client one).

        Raises
        ------
        LabError
            For an unknown policy, or when the balancer has died.
        """
        balancer_lines(policy)
        self.child.check()
        return f"{self._scheme}://127.0.0.1:{self._held[policy].port}"

    @property
    def ws_url(self) -> str:
        """The WebSocket URL of the ``sticky_cookie`` policy, ``ws://127.0.0.1:…/ws``."""
        return self.ws_through("sticky_cookie")

    def ws_through(self, policy: str) -> str:
        """Return the WebSocket URL at which a policy chooses the node: see `through`."""
        return f"ws{self.through(policy).removeprefix('http')}/ws"

    # What an operator does

    async def set_state(self, node: int, state: Literal["ready", "drain", "maint"]) -> None:
        """Set which new connections a node gets.

        Parameters
        ----------
        node : int
            Index of the node, from 0.
        state : {"ready", "drain", "maint"}
            Ready: all that the policy assigns. Drain: only those whose cookie names the node.
            Maint: none. Connections that are open stay open.
        """
        await self._command(f"set server round_robin/{self._name(node)} state {state}")

    async def restore(self) -> None:
        """Make all nodes ready, and wait until each is up: the initial state of an experiment.

        Raises
        ------
        LabError
            When a node does not come up in time.
        """
        for node in range(self._nodes):
            await self.set_state(node, "ready")
        for node in range(self._nodes):
            await self.until_up(node)

    async def cut(self, node: int) -> None:
        """Cut every connection to a node at once, without a closing handshake of its protocol.

        Parameters
        ----------
        node : int
            Index of the node, from 0.
        """
        for policy in BALANCER_POLICIES:
            await self._command(f"shutdown sessions server {policy}/{self._name(node)}")

    async def connections(self, policy: str) -> list[int]:
        """Return each node's number of open connections, or pending requests, that came by a policy.

        Parameters
        ----------
        policy : str
            One of `BALANCER_POLICIES`.

        Returns
        -------
        list of int
            One number per node, in their order.
        """
        balancer_lines(policy)
        return [int(row["scur"]) for row in await self._rows(policy)]

    async def until_up(self, node: int, *, up: bool = True) -> None:
        """Wait until the balancer's health check sees a node up, or down.

        Parameters
        ----------
        node : int
            Index of the node, from 0.
        up : bool
            True waits until the node is up, False until it is down.

        Raises
        ------
        LabError
            When the check does not see that in time.
        """

        async def as_wished() -> bool:
            row = (await self._rows("round_robin"))[node]
            return (row["status"] == "UP") == up and not row["check_status"].startswith(("INI", "*"))

        self._name(node)
        await self.child.until(as_wished, _START_TIMEOUT)

    async def _takes_commands(self) -> bool:
        """Return whether HAProxy's command socket accepts: on a busy machine, later than its ports."""
        try:
            _, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:  # the socket does not exist, or does not listen yet
            return False
        writer.close()
        return True

    def _name(self, node: int) -> str:
        if not 0 <= node < self._nodes:
            raise LabError(f"expected a node from 0 to {self._nodes - 1}, got {node}")
        return f"node-{node + 1}"

    async def _rows(self, policy: str) -> list[dict[str, str]]:
        text = await self._command("show stat")
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return [row for row in rows if row["pxname"] == policy and row["svname"].startswith("node-")]

    async def _command(self, command: str) -> str:
        """Give HAProxy a command, and return its answer."""
        self.child.check()
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(f"{command}\n".encode())
                    answer = (await reader.read()).decode().strip()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise LabError(
                f"the balancer did not answer {command!r}: {type(error).__name__}; see `lab.check()`"
            ) from error
        if answer and not command.startswith("show"):
            raise LabError(f"the balancer refused {command!r}: {answer}")
        return answer
