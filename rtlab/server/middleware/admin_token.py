"""The token that opens the admin routes."""

from __future__ import annotations

import hmac

from aiohttp import web

__all__ = ["token_matches"]


def token_matches(request: web.Request, token: str) -> bool:
    """Whether a request carries the admin token, compared in constant time."""
    given = request.headers.get("X-Rtlab-Token")
    if given is None:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return False
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())
