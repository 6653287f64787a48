"""Deliberate security holes for ``security="naive"``: mistakes that first versions often contain.

None of this code runs in any other setting.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from rtlab.errors import MessageError
from rtlab.protocol.message_format import Message
from rtlab.protocol.payload_schemas import Schemas
from rtlab.server.auth.role_permissions import Permission
from rtlab.server.handlers import Services, publish
from rtlab.server.handlers.handler_interface import room_of
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.maybe_awaitable_values import Later
from rtlab.server.refusal_and_end_reasons import Refused

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
    """The commands that a page may call: ``time`` alone. The other attributes are not meant for pages.

    Parameters
    ----------
    secret : str
        A secret that must not leave the server.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def time(self, payload: object) -> str:
        """Return a fixed text."""
        return "it is about time"


def by_name(commands: Commands) -> Any:
    """Return a handler that calls the method that the message's type names.

    The hole: ``getattr`` finds every attribute, not only the commands. The same in JavaScript is
    ``handlers[message.type](message.payload)``, which also finds ``constructor``.
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
    """Validates the output of another parser than the server's: it keeps the first value of a repeated key.

    The hole: RFC 8259 §4 does not say which value counts, and the server acts on the last one.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def check(self, incoming: Incoming) -> None:
        """As an ingress step, refuse a message whose first values do not match its type's schema."""
        if not isinstance(incoming.data, bytes | str):
            return
        try:
            value = json.loads(incoming.data, object_pairs_hook=_first_values)
            self._schemas.check(Message(str(value["type"]), value.get("payload")))
        except MessageError as error:
            raise Refused(error.code, str(error), strikes=1) from None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return  # not JSON, such as MessagePack: not checked


def _first_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def origin_looks_right(origin: str, allowed: frozenset[str]) -> bool:
    """Whether an origin begins or ends like one that is allowed; ``null`` counts as allowed, too.

    The hole: ``http://127.0.0.1.evil.example`` begins like one, ``http://evil-lab.example`` ends like one.

    Examples
    --------
    >>> origin_looks_right("http://127.0.0.1.evil.example", frozenset())
    True
    """
    ends = tuple(host for one in allowed if (host := one.partition("://")[2]))
    begins = ("http://127.0.0.1", "http://localhost", *allowed)
    return origin == "null" or origin.startswith(begins) or (bool(ends) and origin.endswith(ends))


def may_by_prefix(roles: tuple[str, ...], action: Permission, room_id: str) -> bool:
    """Whether one of the roles allows a room, judged by the beginning of the room's name.

    The hole: `resolve_room` changes the name afterwards, and the right is not checked again.

    Examples
    --------
    >>> [may_by_prefix(("guest",), "publish", room) for room in ("staff", "lobby/../staff")]
    [False, True]
    """
    return "staff" in roles or not room_id.startswith("staff")


def resolve_room(incoming: Incoming) -> None:
    """As an ingress step after the authorisation, normalise a room's name as if it were a path."""
    room_id = room_of(incoming)
    if room_id is not None and "/" in room_id:
        incoming.message.room_id = incoming.room = posixpath.normpath(room_id)


async def say_much(request: web.Request, response: web.StreamResponse) -> None:
    """Let browsers send the whole URL of a page to other sites: an ``on_response_prepare`` handler.

    The hole: the URL may hold a token. Some web analytics tools ask for this referrer policy.
    """
    response.headers["Referrer-Policy"] = "unsafe-url"


def agrees_to_anything(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the headers of a response 101 to whatever protocol a request asks for.

    The hole: the server does not switch protocols, but goes on reading HTTP. A proxy in front believes
    the 101, and forwards everything else on this connection without applying its rules.

    Examples
    --------
    >>> agrees_to_anything({"Upgrade": "h2c"})
    {'Upgrade': 'h2c', 'Connection': 'Upgrade'}
    """
    asked = headers.get("Upgrade", "")
    if not asked or asked.lower() == "websocket":
        return None
    return {"Upgrade": asked, "Connection": "Upgrade"}
