"""``GET /``, ``/healthz`` and ``/stats``: the server about itself."""

from __future__ import annotations

import html
from typing import Final

from aiohttp import web

from rtlab.server.http_answers import NODE, json_error, json_response
from rtlab.server.middleware.admin_token import token_matches
from rtlab.server.stats import read_stats

__all__ = ["access_log", "healthz", "index", "stats"]

_INDEX: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>rtlab server</title>
<h1>rtlab server <code>{node}</code></h1>
<p>This is the server of a real-time laboratory; its notebooks are its front end.</p>
<table>
<tr><th align="left">path</th><th align="left">what</th></tr>
<tr><td><code>GET /ws</code></td><td>WebSocket (rtlab.v1.json, rtlab.v1.msgpack)</td></tr>
<tr><td><code>GET /sse</code></td><td>server-sent events</td></tr>
<tr><td><code>GET /poll</code></td><td>long polling</td></tr>
<tr><td><code>POST /send</code></td><td>upstream for the two above</td></tr>
<tr><td><code>POST /rtc/offer</code></td><td>WebRTC signalling</td></tr>
<tr><td><code>GET /healthz</code></td><td>is it alive?</td></tr>
</table>
</html>
"""


async def index(request: web.Request) -> web.Response:
    """Say what this server is."""
    node = request.app[NODE]
    return web.Response(text=_INDEX.format(node=html.escape(node.options.node)), content_type="text/html")


async def healthz(request: web.Request) -> web.Response:
    """Say that the server lives, or that it stops."""
    if request.app[NODE].stopping:
        return json_response({"status": "stopping"}, 503)
    return json_response({"status": "ok"})


async def access_log(request: web.Request) -> web.Response:
    """Say which requests came, to who has the admin token."""
    node = request.app[NODE]
    if not token_matches(request, node.options.token):
        return json_error(401, "token", "send the lab's token: Authorization: Bearer …")
    return json_response(list(node.access_log))


async def stats(request: web.Request) -> web.Response:
    """Say what the server holds, to who has the admin token."""
    node = request.app[NODE]
    if not token_matches(request, node.options.token):
        return json_error(401, "token", "send the lab's token: Authorization: Bearer …")
    return json_response(read_stats(node))
