"""JSON answers of plain HTTP, and where an application keeps its node."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from rtlab.server.node import Node

__all__ = ["NODE", "USER", "json_error", "json_response"]

#: Where the application keeps its node.
NODE: Final = web.AppKey("node", Node)

#: Where a request keeps the name that its credentials proved.
USER: Final = web.RequestKey("user", str)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers
    )


def json_error(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with ``{"error": {"code", "message"}}``."""
    return json_response({"error": {"code": code, "message": text}}, status, headers)
