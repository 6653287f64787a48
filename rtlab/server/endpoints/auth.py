"""``POST /api/auth/…``: log in, refresh, get a ticket; with the admin token also revoke, rotate, roles."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.server.auth.principal import BadCredentials
from rtlab.server.auth.role_permissions import RIGHTS
from rtlab.server.endpoints.request_body_limits import BadBody, read_body
from rtlab.server.http_json_responses import NODE, USER, json_error, json_response
from rtlab.server.middleware.admin_token import token_matches

if TYPE_CHECKING:
    from rtlab.server.auth.request_authentication import Authority, Pair

__all__ = ["add_routes"]

#: Keeps answers that contain a secret out of caches (RFC 6749 §5.1).
_NO_STORE: Final = {"Cache-Control": "no-store"}

MAX_BODY_BYTES: Final = 8192


class _Login(msgspec.Struct):
    user: str
    password: str


class _Refresh(msgspec.Struct, rename="camel"):
    refresh_token: str


class _User(msgspec.Struct):
    user: str


class _Roles(msgspec.Struct):
    user: str
    roles: list[str]


async def log_in(request: web.Request) -> web.Response:
    """``{user, password} → {accessToken, refreshToken, expiresIn}``."""
    authority, asked = _authority(request), await _read(request, _Login)
    wait = authority.may_guess(asked.user)
    if wait:
        text = "too many attempts to log in under this name: try again later"
        raise _Stop(json_error(429, "rate_limited", text, {"Retry-After": str(math.ceil(wait))}))
    pair = await asyncio.to_thread(authority.log_in, asked.user, asked.password)
    request[USER] = asked.user
    answer = _pair(pair)
    if not authority.strict:
        # The hole: a browser adds cookies by itself, so they do not prove which page sent the request.
        across = "None" if request.secure else None  # browsers accept None only with Secure
        answer.set_cookie("token", pair.access_token, httponly=True, secure=request.secure, samesite=across)
    return answer


async def refresh(request: web.Request) -> web.Response:
    """``{refreshToken} → {accessToken, refreshToken, expiresIn}``; the old refresh token is then invalid."""
    return _pair(_authority(request).refresh((await _read(request, _Refresh)).refresh_token))


async def ticket(request: web.Request) -> web.Response:
    """Issue a ticket for a URL to the user of ``Authorization: Bearer``: ``{ticket, expiresIn}``."""
    authority = _authority(request)
    principal = authority.identify(request.headers, {}, request.remote)
    made = authority.tickets.issue(principal, request.remote)
    return json_response({"ticket": made, "expiresIn": authority.tickets.ttl}, headers=_NO_STORE)


async def revoke(request: web.Request) -> web.Response:
    """Admin: ``{user}`` ends every login of a user, and the connections that they opened."""
    authority = _admin(request)
    ended = authority.refresh_tokens.revoke_user((await _read(request, _User)).user)
    request.app[NODE].enforce()
    return json_response({"logins": ended})


async def change_roles(request: web.Request) -> web.Response:
    """Admin: ``{user, roles}`` changes roles; open sessions notice at the next look-up of their users."""
    authority, asked = _admin(request), await _read(request, _Roles)
    unknown = sorted(set(asked.roles) - set(RIGHTS))
    if unknown:
        raise _Stop(json_error(400, "bad_role", f"expected roles out of {', '.join(RIGHTS)}"))
    try:
        authority.users.change(asked.user, tuple(asked.roles))
    except LookupError:
        raise _Stop(json_error(404, "no_user", "nobody has this name")) from None
    return json_response({"user": asked.user, "roles": asked.roles})


async def rotate(request: web.Request) -> web.Response:
    """Admin: sign with a fresh key from now on."""
    return json_response({"kid": _admin(request).access.rotate()})


def add_routes(app: web.Application) -> None:
    """Add the routes to an application whose node has an authority.

    Parameters
    ----------
    app : aiohttp.web.Application
        Its node must be set.
    """
    for name, handler in (
        ("token", log_in),
        ("refresh", refresh),
        ("ticket", ticket),
        ("revoke", revoke),
        ("rotate", rotate),
        ("roles", change_roles),
    ):
        app.router.add_post(f"/api/auth/{name}", _answering(handler))


class _Stop(Exception):
    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


def _answering(handler: Any) -> Any:
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except BadCredentials as error:
            return json_error(401, error.code, str(error), {"WWW-Authenticate": "Bearer", **_NO_STORE})
        except (_Stop, BadBody) as error:
            return error.answer
        except MessageError as error:
            return json_error(400, error.code, str(error))

    return answer


async def _read(request: web.Request, kind: type[Any]) -> Any:
    if request.content_type != "application/json":
        # A form of another site can send other types without a preflight (CSRF; Fetch §3.2.2).
        raise _Stop(json_error(415, "wrong_type", "expected Content-Type: application/json"))
    return parse_json(await read_body(request, MAX_BODY_BYTES), kind)


def _authority(request: web.Request) -> Authority:
    authority = request.app[NODE].authority
    assert authority is not None
    return authority


def _admin(request: web.Request) -> Authority:
    if not token_matches(request, request.app[NODE].options.token):
        raise _Stop(json_error(401, "token", "send the lab's token: Authorization: Bearer …"))
    return _authority(request)


def _pair(pair: Pair) -> web.Response:
    return json_response(pair, headers=_NO_STORE)
