"""Response headers of the right setting: no server version, no MIME sniffing, no referrer."""

from __future__ import annotations

from aiohttp import web

__all__ = ["say_little"]


async def say_little(request: web.Request, response: web.StreamResponse) -> None:
    """Hide the server's version, and forbid MIME sniffing: an ``on_response_prepare`` handler."""
    response.headers["Server"] = "rtlab"
    if response.status != 101:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
