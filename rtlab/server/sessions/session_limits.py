"""How much a session keeps, and for how long."""

from __future__ import annotations

import msgspec

__all__ = ["SessionLimits"]


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a session keeps, and for how long.

    Parameters
    ----------
    backlog_messages, backlog_bytes : int
        Unacknowledged messages kept at most; older ones are dropped, and a client that
        needs them gets a new session. The newest message is always kept.
    ttl : float
        Seconds that a session outlives its connection.
    """

    backlog_messages: int = 4096
    backlog_bytes: int = 512 * 1024
    ttl: float = 30.0
