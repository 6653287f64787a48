"""The options of a server."""

from __future__ import annotations

from typing import Literal

import msgspec

from rtlab.policies.rate_limit_notation import RateLimit
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.payload_schemas import Schemas
from rtlab.protocol.permessage_deflate import Deflate
from rtlab.server.rooms.room_limits import HubLimits
from rtlab.server.sessions.outbox_deduplication_and_fencing import ProducerLimits
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions

__all__ = ["Options"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a server; durations in seconds.

    Parameters
    ----------
    token : str
        The admin token. The keys that sign access tokens are derived from it.
    origins : frozenset of str
        Origins allowed besides the server's own, such as ``"https://lab.example"``.
    node : str
        The server's name in ``welcome``.
    max_connections : int
        Connections that may be open, waiting polls included.
    max_per_user, max_per_address : int or None
        As `max_connections`, for one user, and for one address; None for no limit.
    max_message_bytes : int
        Bytes of the largest incoming message, also after decompression.
    handshake_rate : float or None
        Connections that may begin per second; None for no limit.
    handshake_queue : int
        Handshakes that may wait for their turn; further ones are answered 503.
    overflow : OverflowOptions
        How much may wait for a client that reads too slowly, and what happens to more.
    send_buffer_bytes : int or None
        Approximate size of the system's send buffer for each TCP connection. None leaves it to the
        system, which buffers megabytes: if the connection breaks, more than a session can replay.
    heartbeat : float or None
        Interval of WebSocket pings and of comments in event streams; None for none.
    poll_timeout : float
        How long a poll waits for a message.
    header_timeout : float
        How long a new connection may take to send its first request, and each request its body.
    stop_window : float
        Over how long a graceful stop spreads its close frames.
    compression : Deflate or None
        What to negotiate with clients that offer permessage-deflate; None for no compression.
    rate_limits : tuple of RateLimit
        How fast clients may send; empty for no limit.
    schemas : Schemas or None
        Schemas that payloads must match; None for no validation.
    strict_keys : bool
        Whether messages are refused in which an object repeats a key.
    security : {"open", "naive", "right"}
        Whether clients must authenticate: open asks for no credentials, naive does with common
        security holes, right does without these holes.
    token_ttl, refresh_ttl, ticket_ttl : float
        Lifetime of access tokens, refresh tokens and tickets.
    revalidate : float
        Interval at which the users of open sessions are looked up again: they may have other roles, or
        may not exist any more.
    hub, sessions, producers : HubLimits, SessionLimits, ProducerLimits
        How much the server keeps of rooms, of sessions, and of clients' numbered messages.
    """

    token: str
    origins: frozenset[str] = frozenset()
    node: str = "node-1"
    # Limits
    max_connections: int = 20_000
    max_per_user: int | None = None
    max_per_address: int | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    handshake_rate: float | None = None
    handshake_queue: int = 100
    overflow: OverflowOptions = OverflowOptions()
    send_buffer_bytes: int | None = 64 * 1024
    # Timeouts
    heartbeat: float | None = 15.0
    poll_timeout: float = 25.0
    header_timeout: float = 10.0
    stop_window: float = 0.5
    # Behaviour
    compression: Deflate | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    schemas: Schemas | None = None
    strict_keys: bool = False
    security: Literal["open", "naive", "right"] = "open"
    token_ttl: float = 300.0
    refresh_ttl: float = 86_400.0
    ticket_ttl: float = 10.0
    revalidate: float = 1800.0
    hub: HubLimits = HubLimits()
    sessions: SessionLimits = SessionLimits()
    producers: ProducerLimits = ProducerLimits()
