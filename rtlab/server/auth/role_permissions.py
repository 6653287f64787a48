"""What a role may do in a room: one table, consulted before every join and every publish."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, Literal

__all__ = ["RIGHTS", "Permission", "may"]

Permission = Literal["publish", "subscribe"]

_ALL: Final = frozenset({"publish", "subscribe"})
_NONE: Final[frozenset[str]] = frozenset()

#: Role → (room pattern, actions); the first pattern that matches decides; without a match, all is forbidden.
RIGHTS: Final[dict[str, tuple[tuple[str, frozenset[str]], ...]]] = {
    "staff": (("*", _ALL),),
    "member": (("staff*", _NONE), ("*", _ALL)),
    "guest": (("lobby", frozenset({"subscribe"})),),
}

#: Names that rooms may have: without characters that have a meaning in paths, HTML or logs.
_ROOM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]*(?:\.[A-Za-z0-9_:-]+)*")


@lru_cache(maxsize=4096)  # called for every message; a name has at most `NAME_CHARS`
def may(roles: tuple[str, ...], action: Permission, room_id: str) -> bool:
    """Whether one of the roles allows an action in a room.

    Examples
    --------
    >>> may(("member",), "publish", "lobby"), may(("guest",), "publish", "lobby")
    (True, False)
    >>> may(("staff",), "subscribe", "../lobby")
    False
    """
    if not _ROOM.fullmatch(room_id):
        return False
    for role in roles:
        for pattern, actions in RIGHTS.get(role, ()):
            if fnmatchcase(room_id, pattern):
                if action in actions:
                    return True
                break
    return False
