"""``python -m rtlab.server``: the server in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rtlab.policies.drop_or_conflate_on_overflow import Overflow
from rtlab.policies.rate_limit_notation import RateLimit, parse_rate_limit
from rtlab.processes import parent_watch as _child
from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.protocol.payload_schemas import Schemas
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.brokers.room_publishing_interface import Broker, BrokerFailed
from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.command_line import make_parser
from rtlab.server.event_loop.garbage_collection import GarbageCollection
from rtlab.server.node import Node
from rtlab.server.rooms.room_limits import HubLimits
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.server.server_options import Options
from rtlab.server.sessions.outbox_deduplication_and_fencing import ProducerLimits
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions

if TYPE_CHECKING:
    from rtlab.server.brokers.cluster.cluster_broker import ClusterBroker

__all__ = ["main"]

#: Connections of one user under ``--security right``: tabs, devices, and dead ones not yet detected.
_MAX_PER_USER: Final = 100

#: Default rate limits under ``--security right``: ample for a busy person, too low for a flooding program.
_RIGHT_LIMITS: Final = (
    "connection messages 200 400",
    "user messages 500 1000",
    "address bytes 4000000 8000000",
    "room messages 1000 2000",
)


def _by_room(given: list[tuple[str | None, Overflow]]) -> dict[str, Any]:
    rooms = dict(given)
    default = rooms.pop(None, OverflowOptions().default)
    return {"default": default, "rooms": rooms}


def _limits(security: str) -> tuple[RateLimit, ...]:
    """Return a security setting's default rate limits, for a command line without ``--rate-limit``."""
    return tuple(map(parse_rate_limit, _RIGHT_LIMITS)) if security == "right" else ()


def _options(args: argparse.Namespace, token: str) -> Options:
    return Options(
        token=token,
        origins=frozenset(args.allow_origin),
        node=args.node,
        max_connections=args.max_connections,
        max_per_user=args.max_per_user or (_MAX_PER_USER if args.security == "right" else None),
        max_per_address=args.max_per_address,
        max_message_bytes=args.max_message_bytes,
        handshake_rate=args.handshake_rate or None,
        handshake_queue=args.handshake_queue,
        overflow=OverflowOptions(
            messages=args.write_limit_messages,
            size_bytes=args.write_limit_bytes,
            **_by_room(args.overflow),
        ),
        send_buffer_bytes=args.send_buffer_bytes or None,
        heartbeat=args.heartbeat or None,
        poll_timeout=args.poll_timeout,
        header_timeout=args.header_timeout,
        stop_window=args.stop_window,
        compression=args.compression,
        rate_limits=tuple(args.rate_limit) or _limits(args.security),
        schemas=args.schemas or (None if args.security == "open" else Schemas.load()),
        strict_keys=args.strict_keys or args.security == "right",
        security=args.security,
        token_ttl=args.token_ttl,
        refresh_ttl=args.refresh_ttl,
        ticket_ttl=args.ticket_ttl,
        revalidate=args.revalidate,
        hub=HubLimits(
            history_messages=args.history_messages,
            history_bytes=args.history_bytes,
            history_age=args.history_age,
            cache_rooms=args.cache_rooms,
            leave_grace=args.leave_grace,
        ),
        sessions=SessionLimits(
            backlog_messages=args.backlog_messages,
            backlog_bytes=args.backlog_bytes,
            ttl=args.session_ttl,
        ),
        producers=ProducerLimits(results=args.results_kept, age=args.results_age),
    )


def _tls(args: argparse.Namespace) -> ssl.SSLContext | None:
    if args.certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(args.certfile, args.keyfile)
    return context


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name != "asyncio":
        try:
            import uvloop
        except ImportError:
            if name == "uvloop":
                raise SystemExit("rtlab.server: uvloop is not installed: pip install uvloop") from None
        else:
            return uvloop.new_event_loop
    return asyncio.new_event_loop


async def _serve(args: argparse.Namespace) -> None:
    given = args.token or os.environ.get("RTLAB_TOKEN")
    token = given or secrets.token_urlsafe(18)
    cluster: list[ClusterBroker] = []

    def make_broker(hub: Hub) -> Broker:
        if args.broker is None:
            return SingleNodeBroker(hub)
        from rtlab.server.brokers.carrier_by_broker_url import carrier_for
        from rtlab.server.brokers.carrying.subject_names import namespace_of
        from rtlab.server.brokers.cluster.cluster_broker import ClusterBroker

        carrier = carrier_for(args.broker, namespace=namespace_of(token))
        cluster.append(ClusterBroker(hub, carrier, args.node))
        return cluster[0]

    server = Server(
        Node(_options(args, token), make_broker=make_broker), args.host, args.port, tls=_tls(args)
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if args.watch_fd is not None:
        _child.watch_parent(args.watch_fd, stop.set)
    for broker in cluster:
        await broker.start()
    await server.start()
    collection = GarbageCollection()
    collection.start()
    _child.announce(server.port, **({} if given else {"token": token}))
    try:
        await stop.wait()
    finally:
        collection.stop()
        await server.stop()
        for broker in cluster:
            await broker.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, Ctrl-C, or the end of the parent process.

    Parameters
    ----------
    argv : sequence of str, optional
        The command line without the program's name.

    Returns
    -------
    int
        The exit code: 0, 1 when the server cannot listen or reach its broker, 2 for wrong arguments.
    """
    args = make_parser().parse_args(argv)
    raise_nofile()
    try:
        with asyncio.Runner(loop_factory=_loop_factory(args.loop)) as runner:
            runner.run(_serve(args))
    except BrokerFailed as error:
        print(f"rtlab.server: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"rtlab.server: cannot serve {args.host}:{args.port}: {error.strerror or error}", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
