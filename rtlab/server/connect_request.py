"""What a client says when it connects, read from its URL and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from multidict import MultiMapping

from rtlab.policies.batching import SizeOrTimeout, parse_window
from rtlab.policies.overflow import Overflow, parse_overflow
from rtlab.server.auth.principal import Principal
from rtlab.server.cursor import Cursor, parse_cursor

__all__ = ["BadConnectRequest", "ConnectRequest", "read_connect_request"]

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEQ: Final = re.compile(r"[0-9]{1,15}")


class BadConnectRequest(ValueError):
    """A parameter that is not what it must be; the message says which."""


class ConnectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for; the names are checked, nothing else.

    In the open setting `client_id` and `user` are free words: anybody may say them. What nobody may know
    is `session`: whoever has it goes on as that client, and reads what it is sent.

    Parameters
    ----------
    client_id, user : str, optional
        Its own name, and whom presence shows (the client's name by default).
    session, seq : str and int, optional
        What it wants to continue, and the last position that it handled.
    cursor : Cursor, optional
        The same from a token, and each room's place.
    rooms : tuple of str
        Rooms to enter at once.
    overflow : Overflow, optional
        What becomes of rooms' messages that it does not read in time.
    batch : SizeOrTimeout, optional
        How long messages to it are collected.
    address : str, optional
        Where the request comes from.
    principal : Principal, optional
        Whom its credentials prove.
    """

    client_id: str | None = None
    user: str | None = None
    session: str | None = None
    seq: int = 0
    cursor: Cursor | None = None
    rooms: tuple[str, ...] = ()
    overflow: Overflow | None = None
    batch: SizeOrTimeout | None = None
    address: str | None = None
    principal: Principal | None = None


def read_connect_request(query: MultiMapping[str], headers: Mapping[str, str]) -> ConnectRequest:
    """Read ``clientId``, ``user``, ``room``, where a session continues, ``overflow``, ``batch``.

    Parameters
    ----------
    query : MultiMapping
        The URL's parameters.
    headers : mapping
        ``Last-Event-ID`` goes before the parameters.

    Returns
    -------
    ConnectRequest

    Raises
    ------
    BadConnectRequest
        For a name with other characters, or a position that is no number. A
        token that cannot be read is no error: it counts as absent, because a
        browser repeats it for ever.
    """
    for what in ("clientId", "user"):
        name = query.get(what)
        if name is not None and not _NAME.fullmatch(name):
            raise BadConnectRequest(f"{what}: expected 1 to 64 of A-Z a-z 0-9 _ . -, got {name!r:.80}")
    session = query.get("session")
    if session is not None and not _SESSION.fullmatch(session):
        raise BadConnectRequest(f"session: expected the word from a welcome message, got {session!r:.80}")
    seq = query.get("seq") or "0"
    if not _SEQ.fullmatch(seq):
        raise BadConnectRequest(f"seq: expected the number of messages handled, got {seq!r:.40}")
    overflow, batch = query.get("overflow"), query.get("batch")
    try:
        policy = None if overflow is None else parse_overflow(overflow)
        window = None if batch is None else parse_window(batch)
    except ValueError as error:
        raise BadConnectRequest(str(error)) from None
    if policy is not None and policy.name == "block":
        raise BadConnectRequest("overflow: only the server lets publishers wait: choose another than block")
    token = headers.get("Last-Event-ID") or query.get("lastEventId") or query.get("cursor")
    return ConnectRequest(
        client_id=query.get("clientId"),
        user=query.get("user"),
        session=session,
        seq=int(seq),
        cursor=None if token is None else parse_cursor(token),
        overflow=policy,
        batch=window,
        rooms=tuple(query.getall("room", [])),
    )
