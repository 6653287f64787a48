"""Which requests came: kept in memory for the notebooks, with or without what nobody should read there."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from rtlab.protocol.urls import redacted
from rtlab.server.http_answers import USER
from rtlab.server.node import Node

__all__ = ["make_access_log"]

#: Who asks for 16 KiB of path does not get to fill the memory with it.
MAX_LINE_CHARS: Final = 2000


def make_access_log(
    node: Node, *, redact: bool
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Make what notes each answer, bounded, in `Node.access_log`.

    Parameters
    ----------
    node : Node
        Where to.
    redact : bool
        Whether what is secret in a URL is masked. An access log goes to more people, and lives
        longer, than any token should.

    Returns
    -------
    callable
        An ``on_response_prepare`` handler. A line is address, user, time, request, status, origin and
        referrer, with ``-`` for what there is not.
    """

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        line = (
            f"{request.remote} {_field(request.get(USER))} [{time.strftime('%H:%M:%S')}] "
            f'"{request.method} {_field(request.path_qs)}" {response.status} '
            f'"{_field(request.headers.get("Origin"))}" "{_field(request.headers.get("Referer"))}"'
        )[:MAX_LINE_CHARS]
        node.access_log.append(redacted(line) if redact else line)

    return note


def _field(text: str | None) -> str:
    """Return what cannot end the field that it stands in: a quotation mark would let it name a user."""
    return "-" if not text else text.replace("\\", "%5C").replace('"', "%22")
