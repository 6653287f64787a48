"""What a client asks for when it connects, read from its request's URL and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from multidict import MultiMapping

from rtlab.policies.drop_or_conflate_on_overflow import Overflow, parse_overflow
from rtlab.policies.size_or_time_batching_windows import SizeOrTimeout, parse_window
from rtlab.server.auth.principal import Principal
from rtlab.server.last_event_id_cursor import Cursor, parse_cursor

__all__ = ["BadConnectRequest", "ConnectRequest", "read_connect_request"]

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEQ: Final = re.compile(r"[0-9]{1,15}")


class BadConnectRequest(ValueError):
    """A parameter of the connect request is malformed; the exception's text says which one."""


class ConnectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for; only the syntax of the parameters was checked.

    In the open setting any client may claim any `client_id` and `user`. `session` is a secret: whoever
    knows it can resume that session and read its messages.

    Parameters
    ----------
    client_id, user : str, optional
        The client's own name, and the user that presence shows (the client's name by default).
    session, seq : str and int, optional
        The session to resume, and the position of the last message that the client handled.
    cursor : Cursor, optional
        The same from an event stream's or a poll's cursor, with each room's epoch and offset.
    rooms : tuple of str
        Rooms to enter at once.
    overflow : Overflow, optional
        The policy for room messages that the client does not read in time; the server's by default.
    batch : SizeOrTimeout, optional
        How long, and up to which size, messages to the client are collected; not at all by default.
    address : str, optional
        The address that the request comes from.
    principal : Principal, optional
        The user whom the request's credentials prove; None in the open setting.
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
    """Read ``clientId``, ``user``, ``room``, ``overflow``, ``batch``, and the position to resume from.

    Parameters
    ----------
    query : MultiMapping
        The URL's parameters.
    headers : mapping
        The request's headers; ``Last-Event-ID`` takes precedence over the URL's cursor.

    Returns
    -------
    ConnectRequest

    Raises
    ------
    BadConnectRequest
        For a name with illegal characters, a position that is no number, or a malformed policy.
        A malformed cursor is no error but counts as absent: a browser's EventSource would
        repeat it with every reconnect.
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
