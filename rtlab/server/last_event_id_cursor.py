"""The cursor of event streams and polls, an opaque token: session, position, each room's offset.

A client sends it back in ``Last-Event-ID``, or in the URL (``?lastEventId=``, ``?cursor=``).
It consists of characters that are legal in both, and it is short enough for a URL
behind nginx, which limits a request line to 8 KB by default.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from rtlab.server.frames_encoded_once import RoomPosition

__all__ = ["MAX_CURSOR_CHARS", "Cursor", "CursorWriter", "format_cursor", "parse_cursor"]

#: The longest cursor in a URL, where each "%" and ":" may take three characters.
MAX_CURSOR_CHARS: Final = 6000

_HEAD: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([0-9]{1,15})")

#: Last field of a room whose name is written in base64url.
_BASE64: Final = "b"


class Cursor(msgspec.Struct, frozen=True):
    """How far a client has read.

    Parameters
    ----------
    session : str
        The session in which `position` counts.
    position : int
        Position of the last message that the client has handled.
    rooms : tuple of RoomPosition
        How far it has read each room; used when the session no longer exists.
    """

    session: str
    position: int
    rooms: tuple[RoomPosition, ...] = ()


def _in_url(text: str) -> int:
    return len(text) + 2 * (text.count("%") + text.count(":"))


@lru_cache(maxsize=4096)
def _name(room_id: str) -> tuple[str, str]:
    """Return a room's name as a cursor writes it (quoted or base64url, the shorter), and the last field."""
    quoted = quote(room_id, safe="").replace("~", "%7E")
    if "%" not in quoted:
        return quoted, ""
    encoded = urlsafe_b64encode(room_id.encode()).decode().rstrip("=")
    if len(encoded) + len(_BASE64) + 1 < len(quoted):
        return encoded, f":{_BASE64}"
    return quoted, ""


@lru_cache(maxsize=4096)
def _part(place: RoomPosition) -> tuple[str, int]:
    """Return a cursor's part for one room, and its length in a URL; cached for all members of the room."""
    name, encoding = _name(place.room_id)
    part = f"~{name}:{place.epoch}:{place.offset}{encoding}"
    return part, _in_url(part)


class CursorWriter:
    """Writes the cursors of one event stream; encodes only the rooms whose offset an event changes.

    Parameters
    ----------
    session : str
        The session in which positions count.
    rooms : iterable of RoomPosition
        How far each room was read when the stream begins.
    """

    __slots__ = ("_head", "_parts", "_rooms", "_size")

    def __init__(self, session: str, rooms: Iterable[RoomPosition]) -> None:
        self._head = f"{session}."
        self._parts: dict[str, str] = {}
        self._rooms: dict[str, RoomPosition] = {}
        self._size = 0
        for place in rooms:
            self.move(place)

    def move(self, place: RoomPosition) -> None:
        """Note a room's new offset; None says that the client has left the room."""
        former = self._rooms.get(place.room_id)
        if former is not None:
            self._size -= _part(former)[1]
        if place.offset is not None:
            part, size = _part(place)
            self._size += size
            self._rooms[place.room_id], self._parts[place.room_id] = place, part
        elif former is not None:
            del self._rooms[place.room_id], self._parts[place.room_id]

    def at(self, position: int) -> str:
        """Return the cursor of the event with this position."""
        head = f"{self._head}{position}"
        if len(head) + self._size <= MAX_CURSOR_CHARS:
            return head + "".join(self._parts.values())
        return format_cursor(self._head[:-1], position, self._rooms.values())


def format_cursor(session: str, position: int, rooms: Iterable[RoomPosition] = ()) -> str:
    """Return a cursor: ASCII without spaces, safe in headers and URLs.

    Rooms that would make it longer than 6,000 characters in a URL are left out: if the
    session no longer exists, the client joins those rooms without their history.

    Examples
    --------
    >>> format_cursor("s1", 7, [RoomPosition("my room", "ab12", 3), RoomPosition("部屋", "cd34", 5)])
    's1.7~my%20room:ab12:3~6YOo5bGL:cd34:5:b'
    """
    text = f"{session}.{position}"
    size = len(text)
    for place in rooms:
        part, length = _part(place)
        size += length
        if size > MAX_CURSOR_CHARS:
            break
        text += part
    return text


def parse_cursor(text: str) -> Cursor | None:
    """Parse a cursor; return None for any other text, which the caller treats as no cursor.

    Examples
    --------
    >>> parse_cursor("s1.7~my%20room:ab12:3").rooms[0].room_id
    'my room'
    """
    # Cursors are ASCII. Other bytes of a header arrive as lone surrogates, which cannot be encoded again.
    if len(text) > 2 * MAX_CURSOR_CHARS or not text.isascii():
        return None
    head, *parts = text.split("~")
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    rooms: list[RoomPosition] = []
    for part in parts:
        name, epoch, offset, encoding = ([*part.split(":"), "", "", "", ""])[:4]
        if not (name and epoch and offset.isascii() and offset.isdigit() and len(offset) <= 15):
            return None
        try:
            room_id = _decode(name) if encoding == _BASE64 else unquote(name)
        except (binascii.Error, UnicodeError, ValueError):
            return None
        rooms.append(RoomPosition(room_id, epoch, int(offset)))
    return Cursor(match[1], int(match[2]), tuple(rooms))


def _decode(name: str) -> str:
    return urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
