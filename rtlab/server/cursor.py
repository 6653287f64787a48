"""The opaque token of event streams and polls: session, position, and each room's place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from rtlab.server.frames import Mark

__all__ = ["Cursor", "format_cursor", "parse_cursor"]

#: It travels in a header or a URL, where proxies allow about 8 KB.
MAX_CURSOR_CHARS: Final = 6000

_HEAD: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([0-9]{1,15})")


class Cursor(msgspec.Struct, frozen=True):
    """Where a client is.

    Parameters
    ----------
    session : str
        Which session the position counts in.
    position : int
        The last message that the client has handled.
    marks : tuple of Mark
        Each room's place, for when the session is gone.
    """

    session: str
    position: int
    marks: tuple[Mark, ...] = ()


def format_cursor(session: str, position: int, marks: Iterable[Mark] = ()) -> str:
    """Write a cursor: ASCII without spaces, safe in headers and URLs.

    Rooms that do not fit into 6,000 characters are left out: when the session is
    gone, the client joins those anew.

    Examples
    --------
    >>> format_cursor("s1", 7, [Mark("my room", "ab12", 3)])
    's1.7~my%20room:ab12:3'
    """
    text = f"{session}.{position}"
    for room_id, epoch, offset in marks:
        part = f"~{quote(room_id, safe='').replace('~', '%7E')}:{epoch}:{offset}"
        if len(text) + len(part) > MAX_CURSOR_CHARS:
            break
        text += part
    return text


def parse_cursor(text: str) -> Cursor | None:
    """Read a cursor; None for anything else, which then counts as no cursor.

    Examples
    --------
    >>> parse_cursor("s1.7~my%20room:ab12:3").marks[0].room_id
    'my room'
    """
    # Ours are ASCII. In a header, other bytes come as lone surrogates, which no answer can carry.
    if len(text) > 2 * MAX_CURSOR_CHARS or not text.isascii():
        return None
    head, *rooms = text.split("~")
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    marks: list[Mark] = []
    for room in rooms:
        room_id, epoch, offset = ([*room.split(":"), "", "", ""])[:3]
        if not (room_id and epoch and offset.isascii() and offset.isdigit() and len(offset) <= 15):
            return None
        marks.append(Mark(unquote(room_id), epoch, int(offset)))
    return Cursor(match[1], int(match[2]), tuple(marks))
