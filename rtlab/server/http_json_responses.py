"""JSON responses of the HTTP routes, and the keys of an application's node and a request's user."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from rtlab.server.node import Node

__all__ = ["NODE", "USER", "json_error", "json_response"]

#: Key under which the application keeps its node.
NODE: Final = web.AppKey("node", Node)

#: Key under which a request keeps the name of the user whom its credentials prove.
USER: Final = web.RequestKey("user", str)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers
    )


def json_error(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON response ``{"error": {"code", "message"}}``."""
    return json_response({"error": {"code": code, "message": text}}, status, headers)
