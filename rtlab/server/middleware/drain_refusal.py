"""Refuses new connections while the server stops; `checks_before_connecting` checks their limits."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from rtlab.protocol.transport_paths import ROUTES
from rtlab.server.http_json_responses import json_error
from rtlab.server.node import Node

__all__ = ["make_drain_refusal"]

#: Routes that begin a connection.
STREAMS: Final = frozenset(ROUTES.values())


def make_drain_refusal(node: Node) -> Any:
    """Make the middleware that refuses connections while the server stops.

    Parameters
    ----------
    node : Node
        Its `stopping` says whether the server stops.

    Returns
    -------
    middleware
    """

    @web.middleware
    async def refuse_while_stopping(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in STREAMS and node.stopping:
            return json_error(503, "stopping", "the server stops: try again", {"Retry-After": "1"})
        try:
            return await handler(request)
        except ConnectionError:
            # The client left before its response began: no error, and nobody reads this response.
            return web.Response(status=400)

    return refuse_while_stopping
