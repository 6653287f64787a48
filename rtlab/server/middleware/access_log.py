"""The access log: kept in memory for the notebooks, with or without the secrets in URLs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from rtlab.protocol.redaction import redacted
from rtlab.server.http_json_responses import USER
from rtlab.server.node import Node

__all__ = ["make_access_log"]

#: Characters of the longest line: long URLs (up to 16 KiB) must not fill the memory.
MAX_LINE_CHARS: Final = 2000


def make_access_log(
    node: Node, *, redact: bool
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Make the function that appends a line to `Node.access_log` for each response.

    Parameters
    ----------
    node : Node
        The node whose log is written.
    redact : bool
        Whether secrets in URLs are masked. More people read an access log than should know a token, and
        it outlives tokens.

    Returns
    -------
    callable
        An ``on_response_prepare`` handler. A line is address, user, time, request, status, origin and
        referrer, with ``-`` for a missing field.
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
    """Return a field's text, escaped: an unescaped quotation mark could end the field and forge others."""
    return "-" if not text else text.replace("\\", "%5C").replace('"', "%22")
