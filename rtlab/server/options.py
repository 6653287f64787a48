"""How a server behaves."""

from __future__ import annotations

from typing import Literal

import msgspec

from rtlab.policies.rate_limit import RateLimit
from rtlab.protocol.deflate import Deflate
from rtlab.protocol.messages import MAX_MESSAGE_BYTES
from rtlab.protocol.schemas import Schemas
from rtlab.server.message_deduplication import ProducerLimits
from rtlab.server.rooms.limits import HubLimits
from rtlab.server.session_limits import SessionLimits
from rtlab.server.slow_consumer_queue import OverflowOptions

__all__ = ["Options"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a server behaves; durations in seconds.

    Parameters
    ----------
    token : str
        Opens the admin routes.
    origins : frozenset of str
        Origins allowed besides the server's own, such as ``"https://lab.example"``.
    node : str
        The server's name in ``welcome``.
    max_connections : int
        Open streams and waiting polls, together.
    max_per_user, max_per_address : int or None
        As `max_connections`, of one user, and from one address; None for no limit.
    max_message_bytes : int
        The largest incoming message, also after it was decompressed.
    handshake_rate : float or None
        Connections that may begin per second; None for no limit.
    handshake_queue : int
        How many may wait for their turn; who finds no place is answered 503.
    overflow : OverflowOptions
        What may wait for a client that does not read, and what becomes of more.
    send_buffer_bytes : int or None
        What the system may hold for each TCP connection, about; None leaves it to the system,
        which takes megabytes: a client that comes back can be given again what a session keeps.
    heartbeat : float or None
        Interval of WebSocket pings and stream comments.
    poll_timeout : float
        How long a poll waits.
    header_timeout : float
        How long a new connection may take to send its first request, and each request its body.
    stop_window : float
        Over how long a graceful stop spreads its close frames.
    compression : Deflate or None
        What to agree on with clients that offer permessage-deflate; None for no compression.
    rate_limits : tuple of RateLimit
        How fast clients may send; none costs nothing.
    schemas : Schemas or None
        What payloads must look like.
    strict_keys : bool
        Whether a key that stands twice in an object is refused.
    security : {"open", "naive", "right"}
        Open asks nobody who he is; naive does, with the usual holes; right without them.
    token_ttl, refresh_ttl, ticket_ttl : float
        Seconds that access tokens, refresh tokens and tickets live.
    revalidate : float
        How often the users of open sessions are looked up again: who is gone, or has another role.
    hub, sessions, producers : HubLimits, SessionLimits, ProducerLimits
        How much is kept.
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
