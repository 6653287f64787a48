"""Checks the credentials and limits of requests that open a connection; answers that a session has ended."""

from __future__ import annotations

import msgspec
from aiohttp import web

from rtlab.server.auth.principal import BadCredentials, Principal
from rtlab.server.connect_request_parser import BadConnectRequest, ConnectRequest, read_connect_request
from rtlab.server.http_json_responses import NODE, USER, json_error
from rtlab.server.node import Node
from rtlab.server.refusal_and_end_reasons import Ended, Refused

__all__ = ["BadOpening", "ended_answer", "read_opening", "read_principal"]


class BadOpening(Exception):
    """A request that cannot open a connection.

    Parameters
    ----------
    answer : web.Response
        The response, which says why.
    """

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


async def read_opening(request: web.Request) -> ConnectRequest:
    """Return what a client asks for, once its credentials and limits are checked and its rooms prepared.

    Raises
    ------
    BadOpening
        When a parameter is malformed, the credentials are not accepted, the session is another user's,
        or there is no place.
    """
    node = request.app[NODE]
    principal = read_principal(request)
    try:
        asked = read_connect_request(request.query, request.headers)
        if principal is not None:  # the authenticated user counts, not the claimed one
            asked = msgspec.structs.replace(asked, user=None)
        node.connections.check_user(asked)
    except BadConnectRequest as error:
        raise BadOpening(json_error(400, "bad_opening", str(error))) from None
    except Refused as error:
        raise BadOpening(json_error(403, error.code, str(error))) from None
    asked = msgspec.structs.replace(asked, address=request.remote, principal=principal)
    _check_place(node, asked)
    if await node.prepare(asked):
        _check_place(node, asked)  # other clients may have connected meanwhile
    return asked


def _check_place(node: Node, asked: ConnectRequest) -> None:
    """Raise `BadOpening` when the server, or this user's or address's share of it, is full."""
    _check_share(node, asked)
    try:
        node.connections.make_place(asked)
    except Refused as error:
        raise BadOpening(json_error(503, error.code, str(error), {"Retry-After": "5"})) from None


def _check_share(node: Node, asked: ConnectRequest) -> None:
    """Raise `BadOpening` when a user, or an address, has as many connections as it may."""
    user = asked.user if asked.principal is None else asked.principal.user
    resumed = node.connections.resumed_by(asked)
    for whose, most, name in (
        ("user", node.options.max_per_user, user),
        ("address", node.options.max_per_address, asked.address),
    ):
        if most is None or name is None:
            continue
        # A client that resumes its session replaces its former connection, which does not count.
        others = (session for session in node.connections.sinks.values() if session is not resumed)
        if sum(getattr(session, whose) == name for session in others) >= most:
            text = f"expected at most {most} connections of one {whose}: close one, or try again later"
            raise BadOpening(json_error(429, "too_many_connections", text, {"Retry-After": "5"}))


def read_principal(request: web.Request) -> Principal | None:
    """Return the user whom a request's credentials prove; None in the open setting, which needs none.

    Raises
    ------
    BadOpening
        For credentials that are not accepted.
    """
    authority = request.app[NODE].authority
    if authority is None:
        return None
    try:
        principal = authority.identify(request.headers, request.query, request.remote)
    except BadCredentials as error:
        text = {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}
        raise BadOpening(json_error(401, error.code, str(error), text)) from None
    request[USER] = principal.user
    return principal


def ended_answer(ended: Ended) -> web.Response:
    """Return the response to a request whose session, or connection, the server has ended."""
    return json_error(401 if ended.close_code in (4001, 4501) else 403, ended.code, ended.text)
