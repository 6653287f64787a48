"""The fault proxy as a process: ``python -m rtlab.faults --port 0``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal

from aiohttp import web

from rtlab.faults.api import make_app
from rtlab.faults.proxy.collection import Collection
from rtlab.faults.trace import Trace
from rtlab.processes.parent_watch import announce, raise_nofile, watch_parent

__all__ = ["main"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rtlab.faults", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the API")
    parser.add_argument("--port", type=int, default=8474, help="port of the API (0: any)")
    token = os.environ.get("RTLAB_TOKEN")  # other users cannot read it there
    parser.add_argument("--token", default=token, help="require this bearer token")
    parser.add_argument("--watch-fd", type=int, help="stop when this pipe ends")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--trace-limit", type=int, default=20_000, help="events that are kept")
    return parser.parse_args()


async def _serve(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    if args.watch_fd is not None:
        watch_parent(args.watch_fd, stop.set)
    collection = Collection(Trace(args.trace_limit), args.seed)
    runner = web.AppRunner(make_app(collection, args.token), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, args.host, args.port, backlog=256)
        await site.start()
        announce(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run until SIGTERM, or until the parent is gone."""
    args = _arguments()
    raise_nofile()
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(args))
    else:
        uvloop.run(_serve(args))


if __name__ == "__main__":
    main()
