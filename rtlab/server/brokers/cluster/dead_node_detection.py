"""Detects dead nodes by a TCP connection to each process: one that ends and cannot be reopened is dead.

The kernel closes a dead process's connections at once, so ``kill -9`` is noticed without a timeout. A
process that is stopped (SIGSTOP) keeps its connections, and a process on another machine is not reached
here: such nodes count as dead only after a silence of `Timings.dead`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

__all__ = ["LifeLines"]

_HOST: Final = "127.0.0.1"
#: Seconds before the next attempt after a connection that ended without any data: a dying process still
#: accepts connections for a moment.
_PAUSE: Final = 0.01


class LifeLines:
    """Accepts connections and sends this process's name on each; holds one to each other node.

    Parameters
    ----------
    life : str
        The name of this process.
    dead : callable
        Called with the names of a node and of its process when that process is dead.

    Examples
    --------
    ::

        lines = LifeLines("life-1", lambda node, life: print(node, "is dead"))
        port = await lines.open()
        lines.hold("node-2", "life-2", its_port)
    """

    def __init__(self, life: str, dead: Callable[[str, str], None]) -> None:
        self._life = life
        self._dead = dead
        self._server: asyncio.Server | None = None
        self._callers: set[asyncio.Transport] = set()
        self._holding: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> int:
        """Begin to accept connections.

        Returns
        -------
        int
            The port.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Caller(self._life, self._callers), _HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End all connections. Safe to repeat."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for caller in tuple(self._callers):
            caller.abort()
        holding, self._holding = self._holding, {}
        for task in holding.values():
            task.cancel()
        if holding:
            await asyncio.wait(holding.values())

    def hold(self, node: str, life: str, port: int) -> None:
        """Hold a connection to a node's process, in place of one to a former process of that node.

        Parameters
        ----------
        node, life : str
            The names of the node and of its process.
        port : int
            The port on which that process accepts connections.
        """
        self.let_go(node)
        task = asyncio.create_task(self._hold(node, life, port), name=f"life line to {node}")
        self._holding[node] = task

    def let_go(self, node: str) -> None:
        """End the connection to a node."""
        task = self._holding.pop(node, None)
        if task is not None:
            task.cancel()

    async def _hold(self, node: str, life: str, port: int) -> None:
        if await _until_ended(life, port) != life:
            return  # on another machine, or dead before it was reached: unknown
        while True:
            said = await _until_ended(life, port)
            if said is None:
                return
            if said not in (life, ""):
                break
            await asyncio.sleep(_PAUSE)
        self._dead(node, life)


class _Caller(asyncio.Protocol):
    """Another node's connection to this one; the other side sends nothing."""

    def __init__(self, life: str, callers: set[asyncio.Transport]) -> None:
        self._life = life
        self._callers = callers
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another base class
        self._callers.add(self._transport)
        self._transport.write(self._life.encode() + b"\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._callers.discard(self._transport)


async def _until_ended(life: str, port: int) -> str | None:
    """Hold one connection until it ends.

    Returns
    -------
    str or None
        `life` if that process answered; an empty text if the connection ended without data; "nobody" if
        the connection was refused, or another process answered; None if this process could not try.
    """
    writer = None
    said = b""
    try:
        reader, writer = await asyncio.open_connection(_HOST, port)
        said = await reader.readline()
        if said.strip() == life.encode():
            await reader.read()
    except ConnectionRefusedError:
        return "nobody"
    except (ConnectionError, ValueError):
        pass
    except OSError:  # no descriptor is left, say
        return None
    finally:
        if writer is not None:
            writer.close()
    word = said.strip().decode(errors="replace")
    return word if word in (life, "") else "nobody"
