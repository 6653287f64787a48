"""No connection begins while the server stops; which of them find a place is `opening`'s to say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from rtlab.server.http_answers import json_error
from rtlab.server.node import Node

__all__ = ["make_admission"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Routes that begin a connection.
STREAMS: Final = frozenset({"/ws", "/sse", "/poll", "/rtc/offer"})


def make_admission(node: Node) -> Any:
    """Make the middleware that turns connections away from a server that stops.

    Parameters
    ----------
    node : Node
        Whether it does.

    Returns
    -------
    middleware
    """

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in STREAMS and node.stopping:
            return json_error(503, "stopping", "the server stops: try again", {"Retry-After": "1"})
        try:
            return await handler(request)
        except ConnectionError:
            # The client left before its answer began: no bug, and nobody to tell.
            return web.Response(status=400)

    return admit
