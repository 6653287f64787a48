"""The application: routes, who is let in, and how it starts and stops."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from rtlab.server.endpoints import auth, rtc
from rtlab.server.endpoints.poll import poll
from rtlab.server.endpoints.send import send
from rtlab.server.endpoints.sse import event_stream
from rtlab.server.endpoints.status import access_log, healthz, index, metrics, readyz, stats
from rtlab.server.endpoints.websocket import websocket
from rtlab.server.http_answers import NODE
from rtlab.server.middleware.access_log import make_access_log
from rtlab.server.middleware.admission import make_admission
from rtlab.server.middleware.handshake_limit import make_handshake_limit
from rtlab.server.middleware.origins import add_cors_headers, make_origin_check
from rtlab.server.naive import origin_looks_right
from rtlab.server.node import Node

__all__ = ["Server", "make_app"]

#: A cursor that names many rooms is longer than aiohttp's default for one line.
MAX_LINE_BYTES: Final = 16 * 1024

#: aiohttp's logger, by another name: what it says about a client's mistakes is left out.
_log = logging.getLogger("rtlab.server.endpoints.http")


def _is_our_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log.addFilter(_is_our_fault)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(node: Node, on_request: Callable[[object], None] = lambda _: None) -> web.Application:
    """Make the application around a node.

    Parameters
    ----------
    node : Node
        Rooms, sessions and options.
    on_request : callable
        Told the connection of every request whose headers have come.

    Returns
    -------
    aiohttp.web.Application
    """

    @web.middleware
    async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
        on_request(request.protocol)
        return await handler(request)

    # The first is the outermost. Who waited for a turn is asked for a place only then.
    security = node.options.security
    checks = [
        note_request,
        *([make_access_log(node, redact=security == "right")] if security != "open" else []),
        make_origin_check(node.options.origins, origin_looks_right if security == "naive" else None),
        make_handshake_limit(node),
        make_admission(node),
    ]
    body_limit = node.options.max_message_bytes + 1024
    app = web.Application(middlewares=checks, client_max_size=body_limit)
    app[NODE] = node
    app.on_response_prepare.append(add_cors_headers)
    app.router.add_get("/", index)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/stats", stats)
    app.router.add_get("/ws", websocket, allow_head=False)
    app.router.add_get("/sse", event_stream, allow_head=False)
    app.router.add_get("/poll", poll, allow_head=False)
    app.router.add_post("/send", send)
    rtc.add_routes(app)
    if node.authority is not None:
        auth.add_routes(app)
        app.router.add_get("/log", access_log)
    return app


class Server:
    """A node that listens.

    Parameters
    ----------
    node : Node
        What it serves.
    host : str
        The address.
    port : int
        0 lets the system choose.
    tls : ssl.SSLContext, optional
        Serve https and wss.

    Examples
    --------
    >>> server = Server(Node(Options(token="secret")))  # doctest: +SKIP
    >>> await server.start()                            # doctest: +SKIP
    """

    def __init__(
        self, node: Node, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.node = node
        self._tls = tls
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        # Connections that sent a request, and since when the others are known.
        self._spoken: set[object] = set()
        self._silent: dict[web.RequestHandler, float] = {}

    @property
    def port(self) -> int:
        """The port that it listens on; call `start` first."""
        assert self._runner is not None
        return self._runner.addresses[0][1]

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        OSError
            When the port is taken.
        """
        self._runner = web.AppRunner(
            make_app(self.node, self._spoken.add),
            access_log=None,
            logger=_log,
            handler_cancellation=True,
            shutdown_timeout=1.0,
            keepalive_timeout=75.0,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            auto_decompress=False,  # compressed bodies are refused, not unpacked
        )
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, self._host, self._port, backlog=4096, ssl_context=self._tls)
        try:
            await self._site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.node.start()
        self.node.upkeep.add(self._drop_silent)

    def _drop_silent(self) -> None:
        """End connections that do not finish the headers of a first request."""
        assert self._runner is not None
        assert self._runner.server is not None
        connections = self._runner.server.connections
        now = self.node.clock()
        self._spoken.intersection_update(connections)
        self._silent = {c: self._silent.get(c, now) for c in connections if c not in self._spoken}
        for connection, since in self._silent.items():
            if now - since > self.node.options.header_timeout:
                connection.force_close()

    async def stop(self) -> None:
        """Stop accepting, end every connection in order, and free the port."""
        if self._runner is None:
            return
        if self._site is not None:
            await self._site.stop()
        await self.node.stop()
        await self._runner.cleanup()
        self._runner = None
