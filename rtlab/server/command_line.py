"""The command line of ``python -m rtlab.server``: its options, their limits and defaults."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Final

from rtlab.policies.drop_or_conflate_on_overflow import Overflow, parse_overflow
from rtlab.policies.rate_limit_notation import RateLimit, parse_rate_limit
from rtlab.protocol.origin_and_host_headers import as_browsers_write
from rtlab.protocol.payload_schemas import SchemaError, Schemas
from rtlab.protocol.permessage_deflate import Deflate
from rtlab.server.server_options import Options

__all__ = ["make_parser"]


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


_RATE_LIMIT_HELP: Final = (
    "'connection|user|address|room messages|bytes RATE BURST', RATE per second; repeatable; with a "
    "fifth word 'window' a fixed window instead of a token bucket"
)

_OVERFLOW_HELP: Final = (
    "what to do with messages that a client does not read: block, drop_oldest, drop_newest, conflate:FIELD "
    "or disconnect (default); repeatable, for one room or for all others"
)


def _overflow(text: str) -> tuple[str | None, Overflow]:
    room_id, found, policy = text.rpartition("=")
    try:
        return (room_id if found else None), parse_overflow(policy)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
    add("--port", type=_port, default=0, help="port to listen on; 0 lets the system choose")
    add("--token", help="secret of the admin routes; else $RTLAB_TOKEN, else a random one, which is printed")
    add("--watch-fd", type=_fd, help="stop at the end of file of this pipe")
    add("--node", default=defaults.node, help="the server's name")
    add(
        "--broker",
        metavar="URL",
        help="share rooms over this broker, such as nats://127.0.0.1, with nodes that have the same token",
    )
    add(
        "--allow-origin",
        type=_origin,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web origin whose pages may connect, besides the server's own; repeatable",
    )
    add(
        "--heartbeat",
        type=_seconds,
        default=defaults.heartbeat,
        help="seconds between pings, and comments on event streams; 0 sends none",
    )
    add(
        "--poll-timeout",
        type=_seconds,
        default=defaults.poll_timeout,
        help="seconds that a poll waits for a message; 0 answers at once",
    )
    add(
        "--header-timeout",
        type=_lasting,
        default=defaults.header_timeout,
        help="seconds to send the head of a connection's first request",
    )
    add(
        "--session-ttl",
        type=_seconds,
        default=sessions.ttl,
        help="seconds to keep a session without a connection; 0 ends it with its connection",
    )
    add(
        "--leave-grace",
        type=_seconds,
        default=hub.leave_grace,
        help="seconds before a lost member is announced as having left; 0 announces at once",
    )
    add(
        "--stop-window",
        type=_seconds,
        default=defaults.stop_window,
        help="seconds over which the close frames are spread when the server stops; 0 sends all at once",
    )
    add("--history-messages", type=_count, default=hub.history_messages, help="messages kept for each room")
    add("--history-bytes", type=_count, default=hub.history_bytes, help="bytes kept for each room")
    add(
        "--history-age",
        type=_seconds,
        default=hub.history_age,
        help="seconds that a room keeps a message; 0 keeps none",
    )
    add(
        "--cache-rooms",
        metavar="PREFIX",
        help="in rooms whose names begin so, a new member gets the newest message",
    )
    add(
        "--backlog-messages",
        type=_count,
        default=sessions.backlog_messages,
        help="messages kept for the replay of a session",
    )
    add(
        "--backlog-bytes",
        type=_count,
        default=sessions.backlog_bytes,
        help="bytes kept for the replay of a session",
    )
    add(
        "--results-kept",
        type=_count,
        default=producers.results,
        help="results kept for each outbox of a client, to answer repeats",
    )
    add(
        "--results-age",
        type=_lasting,
        default=producers.age,
        help="seconds to keep the results of an outbox that sends nothing",
    )
    add("--max-connections", type=_count, default=defaults.max_connections, help="limit of open connections")
    add("--max-per-user", type=_count, help="limit of open connections of one user; none by default")
    add("--max-per-address", type=_count, help="limit of open connections from one address; none by default")
    add(
        "--max-message-bytes",
        type=_count,
        default=defaults.max_message_bytes,
        help="largest message that a client may send",
    )
    add("--handshake-rate", type=_rate, default=0, help="handshakes accepted per second; 0 for no limit")
    add(
        "--handshake-queue",
        type=_count,
        default=defaults.handshake_queue,
        help="handshakes that may wait for their turn; more are answered 503",
    )
    overflow = defaults.overflow
    add(
        "--write-limit-bytes",
        type=_count,
        default=overflow.size_bytes,
        help="bytes that may wait for one slow client",
    )
    add(
        "--write-limit-messages",
        type=_count,
        default=overflow.messages,
        help="messages that may wait for one slow client",
    )
    add(
        "--overflow",
        action="append",
        type=_overflow,
        default=[],
        metavar="[ROOM=]POLICY",
        help=_OVERFLOW_HELP,
    )
    add(
        "--send-buffer-bytes",
        type=_size,
        default=defaults.send_buffer_bytes,
        help="size of each socket's send buffer; 0 leaves it to the system",
    )
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
    add(
        "--schemas",
        type=_schemas,
        metavar="DIR",
        help="check payloads against the JSON schemas in this folder; 'default': data/schemas",
    )
    add(
        "--security",
        choices=("open", "naive", "right"),
        default="open",
        help="open: no login; right: tokens and rights; naive: the usual holes",
    )
    add(
        "--token-ttl", type=_lasting, default=defaults.token_ttl, help="seconds that an access token is valid"
    )
    add(
        "--refresh-ttl",
        type=_lasting,
        default=defaults.refresh_ttl,
        help="seconds that a refresh token is valid",
    )
    add(
        "--ticket-ttl",
        type=_lasting,
        default=defaults.ticket_ttl,
        help="seconds that a ticket for a URL is valid",
    )
    add(
        "--revalidate",
        type=_seconds,
        default=defaults.revalidate,
        help="seconds between two checks of the rights of connected users; 0: four checks a second",
    )
    add("--strict-keys", action="store_true", help="refuse a message with the same key twice in one object")
    add(
        "--loop",
        choices=("auto", "asyncio", "uvloop"),
        default="auto",
        help="event loop; auto: uvloop if it is installed",
    )
    return parser
