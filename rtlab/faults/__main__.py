"""The fault proxy as a process: ``python -m rtlab.faults --port 0``.

Its API asks for a token, which it makes and prints unless it was given one; Toxiproxy's own clients
send none, so for them there is ``--no-token``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal

from aiohttp import web

from rtlab.faults.fault_trace import Trace
from rtlab.faults.proxy.proxy_collection import Collection
from rtlab.faults.toxiproxy_http_api import make_app
from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.processes.expect_100_continue import remove_expect_header
from rtlab.processes.http_server_log_filter import server_log
from rtlab.processes.parent_watch import announce, watch_parent

__all__ = ["api_token", "main", "make_parser"]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m rtlab.faults", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the API")
    parser.add_argument("--port", type=int, default=8474, help="port of the API (0: any)")
    token = os.environ.get("RTLAB_TOKEN")  # unlike a command line, other users cannot read it
    access = parser.add_mutually_exclusive_group()
    access.add_argument("--token", default=token, help="else $RTLAB_TOKEN, else made and printed")
    access.add_argument("--no-token", action="store_true", help="let every program of this machine in")
    parser.add_argument("--watch-fd", type=int, help="stop when this pipe ends")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--trace-limit", type=int, default=20_000, help="events that are kept")
    return parser


def api_token(args: argparse.Namespace) -> tuple[str | None, bool]:
    """Return the token that the API requires (None: no token), and whether it was generated here."""
    if args.no_token:
        return None, False
    return (args.token, False) if args.token else (secrets.token_urlsafe(18), True)


async def _serve(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    if args.watch_fd is not None:
        watch_parent(args.watch_fd, stop.set)
    collection = Collection(Trace(args.trace_limit), args.seed)
    token, made = api_token(args)
    runner = web.AppRunner(
        make_app(collection, token),
        access_log=None,
        logger=server_log("rtlab.faults.http"),
        shutdown_timeout=2.0,
    )
    await runner.setup()
    remove_expect_header(runner.server)
    try:
        site = web.TCPSite(runner, args.host, args.port, backlog=256)
        await site.start()
        announce(runner.addresses[0][1], **({"token": token} if made else {}))
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run until SIGTERM or SIGINT, or until the parent process is gone."""
    args = make_parser().parse_args()
    raise_nofile()
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(args))
    else:
        uvloop.run(_serve(args))


if __name__ == "__main__":
    main()
