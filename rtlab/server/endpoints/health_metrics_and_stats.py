"""``GET /``, ``/healthz``, ``/readyz``, ``/metrics`` and ``/stats``: the server about itself.

The first three are public; the others are for the server's operator, and require the admin token.
"""

from __future__ import annotations

import asyncio
import html
import importlib
from typing import Final

from aiohttp import web

from rtlab.server.http_json_responses import NODE, json_error, json_response
from rtlab.server.middleware.admin_token import token_matches
from rtlab.server.stats_report import read_stats

__all__ = ["access_log", "healthz", "index", "metrics", "readyz", "stats"]

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
<tr><td><code>GET /readyz</code></td><td>does it take new connections?</td></tr>
</table>
</html>
"""


async def index(request: web.Request) -> web.Response:
    """Show a page that says what this server is."""
    node = request.app[NODE]
    return web.Response(text=_INDEX.format(node=html.escape(node.options.node)), content_type="text/html")


async def healthz(request: web.Request) -> web.Response:
    """Report that the server is alive, also while it stops: that is no reason to kill it."""
    return json_response({"status": "stopping" if request.app[NODE].stopping else "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Report whether a load balancer may send new connections to this server.

    It may not while the server stops, while it is full, or while its broker delivers nothing.
    """
    node = request.app[NODE]
    if node.ready:
        return json_response({"status": "ready"})
    status = "stopping" if node.stopping else "full" if node.connections.full else "no broker"
    return json_response({"status": status}, 503)


async def access_log(request: web.Request) -> web.Response:
    """Return the newest requests; requires the admin token."""
    node = request.app[NODE]
    if not token_matches(request, node.options.token):
        return json_error(401, "token", "send the lab's token: Authorization: Bearer …")
    return json_response(list(node.access_log))


async def stats(request: web.Request) -> web.Response:
    """Return a snapshot of the server's resources; requires the admin token."""
    node = request.app[NODE]
    if not token_matches(request, node.options.token):
        return json_error(401, "token", "send the lab's token: Authorization: Bearer …")
    return json_response(read_stats(node))


async def metrics(request: web.Request) -> web.Response:
    """Return the server's metrics in Prometheus' text format; requires the admin token."""
    node = request.app[NODE]
    if not token_matches(request, node.options.token):
        return json_error(401, "token", "send the lab's token: Authorization: Bearer …")
    # prometheus-client takes 50 ms to import: in a thread, not on the loop, and only when it is needed.
    page = await asyncio.to_thread(importlib.import_module, "rtlab.server.prometheus_exposition")
    return web.Response(body=page.write_metrics(node), headers={"Content-Type": page.CONTENT_TYPE})
