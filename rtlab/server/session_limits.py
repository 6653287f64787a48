"""How much is kept for one client."""

from __future__ import annotations

import msgspec

__all__ = ["SessionLimits"]


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept for one client.

    Parameters
    ----------
    backlog_messages, backlog_bytes : int
        The most unconfirmed messages; older ones are given up, and a client that
        needs them gets a new session. The newest message is always kept.
    ttl : float
        Seconds that a session outlives its connection.
    """

    backlog_messages: int = 4096
    backlog_bytes: int = 512 * 1024
    ttl: float = 30.0
