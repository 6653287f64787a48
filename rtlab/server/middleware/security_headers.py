"""What the answers of the right setting say of the server, and what they forbid browsers to guess."""

from __future__ import annotations

from aiohttp import web

__all__ = ["say_little"]


async def say_little(request: web.Request, response: web.StreamResponse) -> None:
    """Name no version, and let no browser guess a type: an ``on_response_prepare`` handler."""
    response.headers["Server"] = "rtlab"
    if response.status != 101:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
