"""``python -m rtlab.server``: the server in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import secrets
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rtlab.policies.overflow import Overflow, parse_overflow
from rtlab.policies.rate_limit import RateLimit, parse_rate_limit
from rtlab.processes import parent_watch as _child
from rtlab.protocol.deflate import Deflate
from rtlab.protocol.origins import as_browsers_write
from rtlab.protocol.schemas import SchemaError, Schemas
from rtlab.server.app import Server
from rtlab.server.brokers.base import Broker, BrokerFailed
from rtlab.server.brokers.standalone_broker import MemoryBroker
from rtlab.server.event_loop.garbage_collection import GarbageCollection
from rtlab.server.node import Node
from rtlab.server.options import Options
from rtlab.server.rooms.hub import Hub
from rtlab.server.rooms.limits import HubLimits
from rtlab.server.sessions.message_deduplication import ProducerLimits
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions

if TYPE_CHECKING:
    from rtlab.server.brokers.cluster.cluster_broker import ClusterBroker

__all__ = ["main", "make_parser"]


def _bounded(kind: Callable[[str], float], low: float, high: float, what: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
        return value

    return parse


def _rate_limit(text: str) -> RateLimit:
    try:
        return parse_rate_limit(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _origin(text: str) -> str:
    try:
        return as_browsers_write(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _schemas(folder: str) -> Schemas:
    try:
        return Schemas.load(None if folder == "default" else folder)
    except SchemaError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


#: Connections of one user under ``--security right``: tabs, devices, and dead ones not yet detected.
_MAX_PER_USER: Final = 100

#: Default rate limits under ``--security right``: ample for a busy person, too low for a flooding program.
_RIGHT_LIMITS: Final = (
    "connection messages 200 400",
    "user messages 500 1000",
    "address bytes 4000000 8000000",
    "room messages 1000 2000",
)

_RATE_LIMIT_HELP: Final = (
    "'connection|user|address|room messages|bytes RATE BURST', RATE per second; repeatable; with a "
    "fifth word 'window' a fixed window instead of a token bucket"
)

_OVERFLOW_HELP: Final = (
    "what becomes of messages that a client does not read: block, drop_oldest, drop_newest, conflate:FIELD "
    "or disconnect (default); repeatable, for one room or for all others"
)


def _overflow(text: str) -> tuple[str | None, Overflow]:
    room_id, found, policy = text.rpartition("=")
    try:
        return (room_id if found else None), parse_overflow(policy)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _by_room(given: list[tuple[str | None, Overflow]]) -> dict[str, Any]:
    rooms = dict(given)
    default = rooms.pop(None, OverflowOptions().default)
    return {"default": default, "rooms": rooms}


_seconds = _bounded(float, 0, 86_400, "seconds from 0 to 86400")
_lasting = _bounded(float, 0.001, 86_400, "seconds from 0.001 to 86400: with 0 it would end before it began")
_count = _bounded(int, 1, 1 << 31, "a whole number from 1")
_size = _bounded(int, 0, 1 << 31, "a number of bytes")
_rate = _bounded(float, 0, 1_000_000, "handshakes per second from 0 to 1000000")
_port = _bounded(int, 0, 65_535, "a port from 0 to 65535")
_fd = _bounded(int, 0, 1 << 20, "a descriptor's number")


def _deflate(text: str) -> Deflate:
    try:
        return Deflate.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def make_parser() -> argparse.ArgumentParser:
    """Return the command line's parser; all durations are in seconds."""
    defaults = Options(token="")
    hub, sessions, producers = defaults.hub, defaults.sessions, defaults.producers
    parser = argparse.ArgumentParser(
        prog="python -m rtlab.server",
        description="The lab's server. It prints one line of JSON when it listens.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port, default=0, help="0 lets the system choose")
    add("--token", help="opens the admin routes; else $RTLAB_TOKEN, else made and printed")
    add("--watch-fd", type=_fd, help="stop when this pipe reaches its end")
    add("--node", default=defaults.node, help="the server's name")
    add("--broker", metavar="URL", help="share rooms with the nodes of this token, such as nats://127.0.0.1")
    add(
        "--allow-origin",
        type=_origin,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="besides its own; repeatable",
    )
    add("--heartbeat", type=_seconds, default=defaults.heartbeat, help="pings and comments; 0 for none")
    add(
        "--poll-timeout",
        type=_seconds,
        default=defaults.poll_timeout,
        help="how long a poll waits; 0: it is answered at once",
    )
    add("--header-timeout", type=_lasting, default=defaults.header_timeout, help="for a first request")
    add(
        "--session-ttl",
        type=_seconds,
        default=sessions.ttl,
        help="a session without a connection; 0: it ends with its connection, which no client can resume",
    )
    add(
        "--leave-grace",
        type=_seconds,
        default=hub.leave_grace,
        help="before a leave is announced; 0: at once",
    )
    add(
        "--stop-window",
        type=_seconds,
        default=defaults.stop_window,
        help="spread of the close frames; 0: all at once",
    )
    add("--history-messages", type=_count, default=hub.history_messages, help="of each room")
    add("--history-bytes", type=_count, default=hub.history_bytes, help="of each room")
    add("--history-age", type=_seconds, default=hub.history_age, help="of each room; 0 keeps none")
    add("--cache-rooms", metavar="PREFIX", help="rooms of these names give whoever enters the newest message")
    add("--backlog-messages", type=_count, default=sessions.backlog_messages, help="of each session")
    add("--backlog-bytes", type=_count, default=sessions.backlog_bytes, help="of each session")
    add("--results-kept", type=_count, default=producers.results, help="of each client's outbox")
    add("--results-age", type=_lasting, default=producers.age, help="of an outbox without a message")
    add("--max-connections", type=_count, default=defaults.max_connections, help="open at once")
    add("--max-per-user", type=_count, help="open at once, of one user; none by default")
    add("--max-per-address", type=_count, help="open at once, from one address; none by default")
    add("--max-message-bytes", type=_count, default=defaults.max_message_bytes, help="incoming")
    add("--handshake-rate", type=_rate, default=0, help="connections begun per second; 0 for no limit")
    add("--handshake-queue", type=_count, default=defaults.handshake_queue, help="that may wait; else 503")
    overflow = defaults.overflow
    add("--write-limit-bytes", type=_count, default=overflow.size_bytes, help="waiting, per connection")
    add("--write-limit-messages", type=_count, default=overflow.messages, help="waiting, per connection")
    add(
        "--overflow",
        action="append",
        type=_overflow,
        default=[],
        metavar="[ROOM=]POLICY",
        help=_OVERFLOW_HELP,
    )
    add("--send-buffer-bytes", type=_size, default=defaults.send_buffer_bytes, help="0: the system's choice")
    add("--certfile", metavar="PEM", help="serve https and wss with this certificate chain")
    add("--keyfile", metavar="PEM", help="the certificate's private key, if it is in another file")
    add("--rate-limit", action="append", type=_rate_limit, default=[], help=_RATE_LIMIT_HELP)
    add(
        "--compression",
        type=_deflate,
        nargs="?",
        const=Deflate(),
        metavar="PARAMETERS",
        help="agree on permessage-deflate; such as 'server_no_context_takeover; server_max_window_bits=9'",
    )
    add("--schemas", type=_schemas, metavar="DIR", help="check payloads; 'default' for data/schemas")
    add("--security", choices=("open", "naive", "right"), default="open", help="who is asked for what")
    add("--token-ttl", type=_lasting, default=defaults.token_ttl, help="of access tokens")
    add("--refresh-ttl", type=_lasting, default=defaults.refresh_ttl, help="of refresh tokens")
    add("--ticket-ttl", type=_lasting, default=defaults.ticket_ttl, help="of tickets for URLs")
    add(
        "--revalidate",
        type=_seconds,
        default=defaults.revalidate,
        help="look up users of open sessions again; 0: four times a second",
    )
    add("--strict-keys", action="store_true", help="refuse a key that stands twice in one object")
    add("--loop", choices=("auto", "asyncio", "uvloop"), default="auto", help="auto: uvloop when present")
    return parser


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
            return MemoryBroker(hub)
        from rtlab.server.brokers.carrier_for import carrier_for
        from rtlab.server.brokers.carrying.subjects import namespace_of
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
    _child.raise_nofile()
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
