"""Which pages may talk to the server, and the headers that tell their browsers so.

Any web page can reach a port on localhost, so the server looks at ``Origin`` before it
does anything; pages of its own, programs, and the origins it was told are let in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from rtlab.server.http_answers import json_error

__all__ = ["add_cors_headers", "make_origin_check", "origin_allowed"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Routes that anybody's browser may ask for: they show nothing and begin nothing.
PUBLIC: Final = frozenset({"/", "/healthz", "/readyz"})


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
    if origin != f"{page.scheme}://{page.netloc}" or "@" in page.netloc:
        return False  # an origin has no user, no path and no query (RFC 6454 §6.1)
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


def _cors(request: web.Request) -> dict[str, str]:
    origin = request.headers.get("Origin")
    if origin is None:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def _preflight(request: web.Request) -> web.Response:
    headers = {
        **_cors(request),
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, Cache-Control",
        "Access-Control-Max-Age": "600",
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)


def make_origin_check(
    origins: frozenset[str], looks_right: Callable[[str, frozenset[str]], bool] | None = None
) -> Any:
    """Make the middleware that turns foreign pages away, and answers preflights.

    Parameters
    ----------
    origins : frozenset of str
        Those allowed besides the server's own.
    looks_right : callable, optional
        Judges in the place of `origin_allowed`: the naive setting's.

    Returns
    -------
    middleware
    """

    def allowed(request: web.Request) -> bool:
        given = request.headers.getall("Origin", [])
        if len(given) > 1:
            return False  # no browser sends two; which one counts would be up to whoever reads them
        if given and looks_right is not None:
            return looks_right(given[0], origins)
        if given:
            origin = given[0]
            return origin_allowed(origin, request.headers.get("Host", ""), origins)
        # A page can make a GET without Origin; browsers say so in another way.
        return request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site")

    @web.middleware
    async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in PUBLIC:
            if not allowed(request):
                origin = request.headers.get("Origin")
                return json_error(403, "bad_origin", f"pages of {origin!r:.100} may not use this server")
            if request.method == "OPTIONS":
                return _preflight(request)
        return await handler(request)

    return check_origin


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add CORS headers to an answer: an ``on_response_prepare`` handler."""
    if request.path not in PUBLIC and response.status != 403:
        response.headers.update(_cors(request))
