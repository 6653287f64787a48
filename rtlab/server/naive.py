"""The holes of ``security="naive"`` that are code: each is what a first version often looks like.

Nothing here runs in any other setting.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from rtlab.errors import MessageError
from rtlab.protocol.messages import Message
from rtlab.protocol.schemas import Schemas
from rtlab.server.auth.rights import Action
from rtlab.server.handlers import Services, publish
from rtlab.server.handlers.base import room_of
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.ordered_answers import Later
from rtlab.server.refusal import Refused

__all__ = [
    "CheckFirstValues",
    "Commands",
    "agrees_to_anything",
    "by_name",
    "may_by_prefix",
    "origin_looks_right",
    "resolve_room",
    "say_much",
]


class Commands:
    """What a page may ask for: ``time``. The rest is meant for the console.

    Parameters
    ----------
    secret : str
        Something that should stay here.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def time(self, payload: object) -> str:
        """Say that the server is there."""
        return "it is about time"


def by_name(commands: Commands) -> Any:
    """Return a handler that calls the method that the message's type names.

    The hole: ``getattr`` finds more than what was written. In JavaScript it is
    ``handlers[message.type](message.payload)``, and ``constructor`` is there, too.
    """

    def handle(services: Services, incoming: Incoming) -> Later[Answer] | None:
        message = incoming.message
        found: Any = getattr(commands, message.type, None)
        if room_of(incoming) is not None or found is None:
            return publish(services, incoming)
        value = found(message.payload) if message.type == "time" else found
        incoming.session.send(Message(f"{message.type}_result", repr(value)[:500], id=message.id))
        return None

    return handle


class CheckFirstValues:
    """Validates what another parser than the server's has read: one that keeps a key's first value.

    The hole: RFC 8259 §4 leaves it open which value counts, and the server obeys the last one.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def check(self, incoming: Incoming) -> None:
        """Refuse, as a step, a message whose first values are not what its type must be."""
        if not isinstance(incoming.data, bytes | str):
            return
        try:
            value = json.loads(incoming.data, object_pairs_hook=_first_values)
            self._schemas.check(Message(str(value["type"]), value.get("payload")))
        except MessageError as error:
            raise Refused(error.code, str(error), strikes=1) from None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return  # the decoder says what is wrong


def _first_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def origin_looks_right(origin: str, allowed: frozenset[str]) -> bool:
    """Whether an origin looks like one of ours: by its beginning, or its end, or not at all.

    The hole: ``http://127.0.0.1.evil.example`` begins, ``http://evil-lab.example`` ends right.

    Examples
    --------
    >>> origin_looks_right("http://127.0.0.1.evil.example", frozenset())
    True
    """
    ends = tuple(host for one in allowed if (host := one.partition("://")[2]))
    begins = ("http://127.0.0.1", "http://localhost", *allowed)
    return origin == "null" or origin.startswith(begins) or (bool(ends) and origin.endswith(ends))


def may_by_prefix(roles: tuple[str, ...], action: Action, room_id: str) -> bool:
    """Whether one of the roles opens a room, by how its name begins.

    The hole: `resolve_room` makes another name of it, and nobody asks again.

    Examples
    --------
    >>> [may_by_prefix(("guest",), "publish", room) for room in ("staff", "lobby/../staff")]
    [False, True]
    """
    return "staff" in roles or not room_id.startswith("staff")


def resolve_room(incoming: Incoming) -> None:
    """Read a room's name as a path, as a step behind the one that asked who may enter."""
    room_id = room_of(incoming)
    if room_id is not None and "/" in room_id:
        incoming.message.room_id = incoming.room = posixpath.normpath(room_id)


async def say_much(request: web.Request, response: web.StreamResponse) -> None:
    """Let browsers tell other sites the whole URL of a page: an ``on_response_prepare`` handler.

    The hole: some counters of visitors ask for it, and the page's URL may hold a token.
    """
    response.headers["Referrer-Policy"] = "unsafe-url"


def agrees_to_anything(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the answer 101 to whatever protocol a request would switch to.

    The hole: nothing is switched, and the server goes on reading HTTP. A proxy in front believes the
    101, and looks at nothing more that comes on this connection: its rules are passed by.

    Examples
    --------
    >>> agrees_to_anything({"Upgrade": "h2c"})
    {'Upgrade': 'h2c', 'Connection': 'Upgrade'}
    """
    asked = headers.get("Upgrade", "")
    if not asked or asked.lower() == "websocket":
        return None
    return {"Upgrade": asked, "Connection": "Upgrade"}
