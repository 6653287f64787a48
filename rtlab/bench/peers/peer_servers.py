"""Servers to compare with, each in a child process: ``python -m rtlab.bench.peers.peer_servers NAME``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any, Final, Self

from aiohttp import web

from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.processes.parent_watch import announce, watch_parent
from rtlab.processes.start_child_process import Child

try:
    import uvloop
except ImportError:
    uvloop = None

__all__ = ["PeerServer", "main"]

START_TIMEOUT: Final = 20.0
STOP_TIMEOUT: Final = 5.0


class PeerServer:
    """A server in a child process that ends with this process.

    Parameters
    ----------
    child : Child
        The child process, whose server listens already.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self.url = f"http://127.0.0.1:{child.port}"

    @classmethod
    async def start(cls, name: str) -> Self:
        """Start the server called `name`; raise `LabError` if it does not start."""
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
        """Stop the server."""
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
    """One room: a chat message goes unchanged to all, an echo to its sender, and a join gets an ack."""
    from websockets import ConnectionClosed
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    async def handle(connection: ServerConnection) -> None:
        # The benchmark's readers disconnect without a close frame.
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


@contextlib.asynccontextmanager
async def _serve_counting() -> AsyncGenerator[int]:
    """Decode and count messages: answer each ``one`` at once, and each ``last`` with the count so far."""
    from websockets import ConnectionClosed
    from websockets.asyncio.server import ServerConnection, serve

    async def handle(connection: ServerConnection) -> None:
        handled = 0
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                kind = json.loads(text)["type"]
                handled += 1
                if kind == "one":
                    await connection.send('{"type":"ack"}')
                elif kind == "last":
                    await connection.send(json.dumps({"type": "ack", "payload": handled}))

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@contextlib.asynccontextmanager
async def _serve_socketio_on_uvicorn() -> AsyncGenerator[int]:
    """Rooms on python-socketio: a ``chat`` event goes to all members of its room."""
    import socketio  # pyright: ignore[reportMissingTypeStubs]
    import uvicorn

    server: Any = socketio.AsyncServer(async_mode="asgi", ping_interval=3600, ping_timeout=3600)

    async def join(sid: str, room: str) -> None:
        await server.enter_room(sid, room)
        await server.emit("joined", to=sid)

    async def chat(sid: str, data: Any) -> None:
        await server.emit("chat", data, room=data["roomId"])

    server.on("join", join)
    server.on("chat", chat)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(
        socketio.ASGIApp(server),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_level="warning",
    )
    running = uvicorn.Server(config)
    running.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(running.serve([listener]), name="uvicorn")
    try:
        yield listener.getsockname()[1]
    finally:
        running.should_exit = running.force_exit = True
        await task


_SERVERS: Final = {
    "counting": _serve_counting,
    "socketio": _serve_socketio,
    "socketio-uvicorn": _serve_socketio_on_uvicorn,
    "websockets": _serve_websockets,
}
#: Servers that run on uvloop where it is installed, as rtlab's server does.
_ON_UVLOOP: Final = {"counting", "socketio-uvicorn", "websockets"}


async def _serve(name: str, fd: int) -> None:
    async with _SERVERS[name]() as port:
        done = asyncio.Event()
        watch_parent(fd, done.set)
        announce(port)
        await done.wait()


def main() -> None:
    """Run one of the servers until the parent process ends."""
    parser = argparse.ArgumentParser(prog="rtlab.bench.peers.peer_servers")
    parser.add_argument("peer", choices=sorted(_SERVERS))
    parser.add_argument("--watch-fd", type=int, required=True)
    known, _ = parser.parse_known_args()
    raise_nofile()
    factory = uvloop.new_event_loop if uvloop is not None and known.peer in _ON_UVLOOP else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(known.peer, known.watch_fd))


if __name__ == "__main__":
    main()
