"""Limits how many connections begin per second: others wait in a short queue, or get a 503 at once.

After a restart, all clients of a server reconnect together. How many it can accept is then limited by the
cost of a handshake (TLS, authentication, resuming); this rate limit makes that cost explicit, and the same
on every machine.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from rtlab.policies.leaky_bucket_queue import PacedQueue
from rtlab.protocol.transport_paths import ROUTES
from rtlab.server.event_loop.handshakes_per_turn import HandshakePacer
from rtlab.server.http_json_responses import json_error
from rtlab.server.node import Node

__all__ = ["begins_connection", "make_handshake_limit"]

_POLL: Final = ROUTES["longpoll"]
#: Each request to these paths begins a connection. A poll begins one only if it is a client's first.
_ALWAYS: Final = frozenset(ROUTES.values()) - {_POLL}


def begins_connection(path: str, *, has_cursor: bool) -> bool:
    """Whether a request begins a connection, and therefore counts in the rate of handshakes.

    Examples
    --------
    >>> begins_connection("/ws", has_cursor=True), begins_connection("/poll", has_cursor=True)
    (True, False)
    """
    return path in _ALWAYS or (path == _POLL and not has_cursor)


def make_handshake_limit(node: Node) -> Any:
    """Make the middleware that paces handshakes: a few in each turn of the loop, and no more than the rate.

    Parameters
    ----------
    node : Node
        The node; its `handshakes_refused` counts refused requests.

    Returns
    -------
    middleware
        A request waits for its turn. If the queue is full, it is answered 503, with the time until the
        queue will be empty as ``Retry-After`` (RFC 9110 §10.2.3), in whole seconds. A client that leaves
        while it waits uses up its turn all the same.
    """
    rate = node.options.handshake_rate
    queue = None if rate is None else PacedQueue(rate, node.options.handshake_queue)
    pacer = HandshakePacer()
    free_at = 0.0

    @web.middleware
    async def pace(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal free_at
        if not begins_connection(request.path, has_cursor="cursor" in request.query):
            return await handler(request)
        await pacer.enter()
        if queue is None:
            return await handler(request)
        now = node.clock()
        free_at, wait = queue.enter(free_at, now)
        if wait is None:
            node.handshakes_refused += 1
            seconds = math.ceil(queue.drained_in(free_at, now))
            text = f"{queue.rate:g} handshakes a second, and {queue.places:g} wait: try again later"
            return json_error(503, "busy", text, {"Retry-After": str(max(1, seconds))})
        await asyncio.sleep(wait)
        return await handler(request)

    return pace
