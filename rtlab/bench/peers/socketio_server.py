"""Other servers to compare with, each a child process: ``python -m rtlab.bench.peers.socketio_server``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any, Final, Self

from aiohttp import web

from rtlab.errors import LabError
from rtlab.processes.parent_watch import announce, watch_parent

__all__ = ["Rival", "main"]

START_TIMEOUT: Final = 20.0


class Rival:
    """A rival's server in a child process that ends with this one.

    Parameters
    ----------
    process : asyncio.subprocess.Process
        The child.
    url : str
        Where it listens.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    async def start(cls, name: str) -> Self:
        """Start the rival called `name`; raises `LabError` when it does not come up."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "rtlab.bench.peers.socketio_server", name, "--watch-fd", "0"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT):
            line = await process.stdout.readline()
        if not line:
            raise LabError(
                f"the rival {name!r} ended at once: run `python -m rtlab.bench.peers.socketio_server {name}`"
            )
        return cls(process, f"http://127.0.0.1:{json.loads(line)['port']}")

    async def stop(self) -> None:
        """Let go of the pipe; the child ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(START_TIMEOUT):
            await self._process.wait()


def _socketio() -> web.Application:
    import socketio  # pyright: ignore[reportMissingTypeStubs]

    server: Any = socketio.AsyncServer(async_mode="aiohttp")
    app = web.Application()
    server.attach(app)

    async def echo(sid: str, data: Any) -> Any:
        await server.emit("echo", data, to=sid)

    server.on("echo", echo)
    return app


async def _serve(fd: int) -> None:
    runner = web.AppRunner(_socketio())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    done = asyncio.Event()
    watch_parent(fd, done.set)
    announce(runner.addresses[0][1])
    await done.wait()
    await runner.cleanup()


def main() -> None:
    """Serve python-socketio's echo until the parent is gone."""
    parser = argparse.ArgumentParser(prog="rtlab.bench.peers.socketio_server")
    parser.add_argument("rival", choices=["socketio"])
    parser.add_argument("--watch-fd", type=int, required=True)
    known, _ = parser.parse_known_args()
    asyncio.run(_serve(known.watch_fd))


if __name__ == "__main__":
    main()
