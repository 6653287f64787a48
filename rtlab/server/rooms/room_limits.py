"""Limits of a node's rooms: how many there may be, what they keep, and for how long."""

from __future__ import annotations

import msgspec

__all__ = ["HubLimits"]


class HubLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the hub keeps.

    Parameters
    ----------
    history_messages, history_bytes : int
        Messages, and bytes, of the longest history of a room.
    history_age : float
        Seconds after which a message leaves the history, and an empty room ends.
    leave_grace : float
        Seconds between a lost connection and the announcement that its user left.
    rooms : int
        How many rooms may exist.
    presence_users : int
        Rooms with more users do not announce them: each arrival would send a
        list of all users to all members.
    cache_rooms : str or None
        Rooms whose names begin with this text keep their newest message, which a new member gets at
        once; None for no room.
    cache_age : float
        Seconds that such a message is kept after all members have left the room.
    """

    history_messages: int = 1000
    history_bytes: int = 512 * 1024
    history_age: float = 60.0
    leave_grace: float = 2.0
    rooms: int = 10_000
    presence_users: int = 200
    cache_rooms: str | None = None
    cache_age: float = 3600.0
