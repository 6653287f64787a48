"""Who may talk to the server: origins, the admin token, the number of connections.

Any web page can reach a port on localhost, so the server looks at ``Origin`` before it
does anything; pages of its own, programs, and the origins it was told are let in.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from rtlab.server.node import Node

__all__ = ["NODE", "json_error", "json_response", "make_guard", "origin_allowed", "token_matches"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Where the application keeps its node.
NODE: Final = web.AppKey("node", Node)

#: Routes that anybody's browser may ask for: they show nothing and begin nothing.
PUBLIC: Final = frozenset({"/", "/healthz"})
STREAMS: Final = frozenset({"/ws", "/sse", "/poll", "/rtc/offer"})


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers
    )


def json_error(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with ``{"error": {"code", "message"}}``."""
    return json_response({"error": {"code": code, "message": text}}, status, headers)


def origin_allowed(origin: str, host: str, allowed: frozenset[str]) -> bool:
    """Whether a page of this origin may talk to the server.

    Parameters
    ----------
    origin : str
        The request's ``Origin``.
    host : str
        The request's ``Host``.
    allowed : frozenset of str
        Other origins that were configured; compared as a whole.

    Returns
    -------
    bool
        The server's own pages count only under an address or ``localhost``: a
        name could have been made to point here (DNS rebinding).

    Examples
    --------
    >>> origin_allowed("http://127.0.0.1:80", "127.0.0.1:80", frozenset())
    True
    >>> origin_allowed("http://evil.example:80", "evil.example:80", frozenset())
    False
    """
    if origin in allowed:
        return True
    try:
        page, server = urlsplit(origin), urlsplit(f"//{host}")
        name, port = page.hostname, page.port
        server_name, server_port = server.hostname, server.port
    except ValueError:
        return False
    if page.scheme not in ("http", "https") or name is None or name != server_name:
        return False
    default = 443 if page.scheme == "https" else 80
    return (port or default) == (server_port or default) and _is_address(name)


def _is_address(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def token_matches(request: web.Request, token: str) -> bool:
    """Whether a request carries the admin token, compared in constant time."""
    given = request.headers.get("X-Rtlab-Token")
    if given is None:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return False
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _cors(request: web.Request) -> dict[str, str]:
    origin = request.headers.get("Origin")
    if origin is None:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def _preflight(request: web.Request) -> web.Response:
    headers = {
        **_cors(request),
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Content-Type, Last-Event-ID, Cache-Control",
        "Access-Control-Max-Age": "600",
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)


def make_guard(
    node: Node, on_request: Callable[[object], None]
) -> tuple[Any, Callable[[web.Request, web.StreamResponse], Awaitable[None]]]:
    """Make the middleware that turns requests away, and the signal that adds CORS headers.

    Parameters
    ----------
    node : Node
        Whose options and connections count.
    on_request : callable
        Told the connection of every request.

    Returns
    -------
    tuple
        A middleware and an ``on_response_prepare`` handler.
    """
    options = node.options

    def allowed(request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        if origin is not None:
            return origin_allowed(origin, request.headers.get("Host", ""), options.origins)
        # A page can make a GET without Origin; browsers say so in another way.
        return request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site")

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        on_request(request.protocol)
        path = request.path
        if path not in PUBLIC:
            if not allowed(request):
                origin = request.headers.get("Origin")
                return json_error(403, "bad_origin", f"pages of {origin!r:.100} may not use this server")
            if request.method == "OPTIONS":
                return _preflight(request)
        if path in STREAMS:
            if node.stopping:
                return json_error(503, "stopping", "the server stops: try again", {"Retry-After": "1"})
            if node.full:
                text = f"the server has its {options.max_connections} connections: try again later"
                return json_error(503, "full", text, {"Retry-After": "5"})
        try:
            return await handler(request)
        except ConnectionError:
            # The client left before its answer began: no bug, and nobody to tell.
            return web.Response(status=400)

    async def add_cors(request: web.Request, response: web.StreamResponse) -> None:
        if request.path not in PUBLIC and response.status != 403:
            response.headers.update(_cors(request))

    return guard, add_cors
