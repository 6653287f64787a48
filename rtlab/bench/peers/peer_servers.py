"""Other servers to compare with, each a child process: ``python -m rtlab.bench.peers.peer_servers``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, Self

from aiohttp import web

from rtlab.processes.child import Child
from rtlab.processes.parent_watch import announce, raise_nofile, watch_parent

try:
    import uvloop
except ImportError:
    uvloop = None

__all__ = ["PeerServer", "main"]

START_TIMEOUT: Final = 20.0
STOP_TIMEOUT: Final = 5.0


class PeerServer:
    """Another server in a child process that ends with this one.

    Parameters
    ----------
    child : Child
        The process, which listens.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self.url = f"http://127.0.0.1:{child.port}"

    @classmethod
    async def start(cls, name: str) -> Self:
        """Start the server called `name`; raises `LabError` when it does not come up."""
        child = Child.module(f"peer {name}", "rtlab.bench.peers.peer_servers", name)
        try:
            await child.announced(START_TIMEOUT)
        except BaseException:
            child.kill()
            raise
        return cls(child)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    async def stop(self) -> None:
        """End it."""
        await self._child.stop(STOP_TIMEOUT)


def _socketio() -> web.Application:
    import socketio  # pyright: ignore[reportMissingTypeStubs]

    server: Any = socketio.AsyncServer(async_mode="aiohttp")
    app = web.Application()
    server.attach(app)

    async def echo(sid: str, data: Any) -> Any:
        await server.emit("echo", data, to=sid)

    server.on("echo", echo)
    return app


@contextlib.asynccontextmanager
async def _serve_socketio() -> AsyncGenerator[int]:
    runner = web.AppRunner(_socketio())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@contextlib.asynccontextmanager
async def _serve_websockets() -> AsyncGenerator[int]:
    """One room: a chat message goes to all as it came, an echo to its sender, a join gets an ack."""
    from websockets import ConnectionClosed
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    async def handle(connection: ServerConnection) -> None:
        # Readers leave without a close frame.
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                assert isinstance(text, str)
                if text.startswith('{"type":"chat"'):
                    broadcast(server.connections, text)
                elif text.startswith('{"type":"echo"'):
                    await connection.send(text)
                else:
                    await connection.send('{"type":"ack"}')

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096) as server:
        yield next(iter(server.sockets)).getsockname()[1]


_SERVERS: Final = {"socketio": _serve_socketio, "websockets": _serve_websockets}


async def _serve(name: str, fd: int) -> None:
    async with _SERVERS[name]() as port:
        done = asyncio.Event()
        watch_parent(fd, done.set)
        announce(port)
        await done.wait()


def main() -> None:
    """Serve python-socketio's echo, or a room of bare websockets, until the parent is gone."""
    parser = argparse.ArgumentParser(prog="rtlab.bench.peers.peer_servers")
    parser.add_argument("peer", choices=sorted(_SERVERS))
    parser.add_argument("--watch-fd", type=int, required=True)
    known, _ = parser.parse_known_args()
    raise_nofile()
    # The loop that rtlab's server takes too.
    factory = uvloop.new_event_loop if uvloop is not None and known.peer == "websockets" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(known.peer, known.watch_fd))


if __name__ == "__main__":
    main()
