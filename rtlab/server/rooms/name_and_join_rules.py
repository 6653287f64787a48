"""Rules for the names of rooms and message types, and for a session's entry into one more room."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rtlab.protocol.limits import NAME_CHARS
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.rooms.room_membership_hub import Hub

__all__ = ["MAX_ROOMS", "check_entry", "check_name", "is_name"]

#: Rooms that one session may be in.
MAX_ROOMS: Final = 64


def is_name(name: str) -> bool:
    """Return whether a type or a room may have this name: it is short and printable."""
    return 0 < len(name) <= NAME_CHARS and name.isprintable()


def check_name(what: str, name: str) -> None:
    """Raise `Refused` unless a type's or a room's name is short and printable."""
    if not is_name(name):
        raise Refused("wrong_payload", f"{what}: expected 1 to {NAME_CHARS} printable characters")


def check_entry(hub: Hub, entered: Collection[str], room_id: str) -> None:
    """Raise `Refused` unless a session may enter one more room of this name.

    Parameters
    ----------
    hub : Hub
        All rooms.
    entered : collection of str
        The rooms that the session is in.
    room_id : str
        The room to enter; entering it again is no error.
    """
    check_name("roomId", room_id)
    if room_id not in entered and len(entered) >= MAX_ROOMS:
        raise Refused("too_many_rooms", f"you are in {MAX_ROOMS} rooms: leave one first")
    if room_id not in hub and not hub.has_place():
        text = f"the server has its {len(hub):,} rooms, all in use: try again later"
        raise Refused("too_many_rooms", text)
