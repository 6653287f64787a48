"""Checks the ``Origin`` and ``Host`` of every request, and adds the CORS headers of the answer.

Any web page can send requests to a port on localhost, so the server checks ``Host`` and ``Origin``
first. It lets in its own pages, programs (which send no ``Origin``), and the origins of its options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from rtlab.protocol.origin_and_host_headers import host_allowed, origin_allowed
from rtlab.server.http_json_responses import json_error
from rtlab.server.node import Node

__all__ = ["PUBLIC", "add_cors_headers", "make_origin_check"]

#: Routes that anybody's browser may ask for: they show nothing and begin nothing.
PUBLIC: Final = frozenset({"/", "/healthz", "/readyz"})

#: Key under which a request of a foreign page keeps that it was refused: its page may not read why.
_FOREIGN: Final = web.RequestKey("foreign", bool)


def _cors(request: web.Request) -> dict[str, str]:
    origin = request.headers.get("Origin")
    if origin is None:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def _preflight(request: web.Request) -> web.Response:
    headers = {
        **_cors(request),
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": (
            "Authorization, Content-Type, Last-Event-ID, Cache-Control, Idempotency-Key"
        ),
        "Access-Control-Max-Age": "600",
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)


def make_origin_check(node: Node, looks_right: Callable[[str, frozenset[str]], bool] | None = None) -> Any:
    """Make the middleware that turns foreign pages away, and answers preflights.

    Parameters
    ----------
    node : Node
        Its options name the origins that are allowed besides the server's own; `page_origin` is one more.
        The host of `page_origin` is not allowed as ``Host``: such a page uses the server's IP address.
    looks_right : callable, optional
        Replaces `origin_allowed` in the naive setting, which does not check ``Host`` either.

    Returns
    -------
    middleware
    """

    origins = node.options.origins

    def allowed(request: web.Request) -> bool:
        given = request.headers.getall("Origin", [])
        if len(given) > 1:
            return False  # no browser sends two; different parsers would pick different ones
        if given and given[0] == node.page_origin:
            return True
        if given and looks_right is not None:
            return looks_right(given[0], origins)
        if given:
            origin = given[0]
            return origin_allowed(origin, request.headers.get("Host", ""), origins, request.scheme)
        # A page can make a GET without Origin; browsers then send Sec-Fetch-Site.
        return request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site")

    @web.middleware
    async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in PUBLIC:
            host = request.headers.get("Host")  # HTTP/1.0 may omit it; no browser uses HTTP/1.0
            if host is not None and looks_right is None and not host_allowed(host, origins):
                request[_FOREIGN] = True
                text = f"this server is not called {host!r:.100}: use its address, or --allow-origin"
                return json_error(403, "bad_host", text)
            if not allowed(request):
                request[_FOREIGN] = True
                origin = request.headers.get("Origin")
                return json_error(403, "bad_origin", f"pages of {origin!r:.100} may not use this server")
            if request.method == "OPTIONS":
                return _preflight(request)
        return await handler(request)

    return check_origin


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add CORS headers to an answer, unless it turns a page away: an ``on_response_prepare`` handler."""
    if request.path not in PUBLIC and _FOREIGN not in request:
        headers = _cors(request)
        if headers and "Retry-After" in response.headers:
            headers["Access-Control-Expose-Headers"] = "Retry-After"  # pages cannot read it otherwise
        response.headers.update(headers)
