"""Which requests came: kept in memory for the notebooks, with or without what nobody should read there."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from rtlab.protocol.urls import redacted
from rtlab.server.node import Node

__all__ = ["make_access_log"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_access_log(node: Node, *, redact: bool) -> Any:
    """Make the middleware that notes each request, bounded, in `Node.access_log`.

    Parameters
    ----------
    node : Node
        Where to.
    redact : bool
        Whether what is secret in a URL is masked. An access log goes to more people, and lives
        longer, than any token should.

    Returns
    -------
    middleware
    """

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        line = f'{request.remote} [{time.strftime("%H:%M:%S")}] "{request.method} {request.path_qs}"'
        referrer = request.headers.get("Referer")
        if referrer is not None:
            line += f' "{referrer}"'
        node.access_log.append(redacted(line) if redact else line)
        return await handler(request)

    return note
