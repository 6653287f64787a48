"""The aiohttp application (routes and middlewares), and the server that starts and stops it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from rtlab.processes.descriptor_limit import nofile
from rtlab.processes.expect_100_continue import remove_expect_header
from rtlab.processes.http_server_log_filter import server_log
from rtlab.protocol.transport_paths import ROUTES
from rtlab.server.connection_limit_and_idle_close import TcpConnections, descriptor_reserve
from rtlab.server.deliberate_security_holes import origin_looks_right, say_much
from rtlab.server.endpoints import auth, send, webrtc_offer
from rtlab.server.endpoints.health_metrics_and_stats import access_log, healthz, index, metrics, readyz, stats
from rtlab.server.endpoints.page_origin_admin_api import set_page_origin
from rtlab.server.endpoints.poll import poll
from rtlab.server.endpoints.sse import event_stream
from rtlab.server.endpoints.websocket import websocket
from rtlab.server.http_json_responses import NODE, json_error
from rtlab.server.middleware.access_log import make_access_log
from rtlab.server.middleware.connections_per_second_queue import make_handshake_limit
from rtlab.server.middleware.drain_refusal import make_drain_refusal
from rtlab.server.middleware.origin_check_and_cors import PUBLIC, add_cors_headers, make_origin_check
from rtlab.server.middleware.security_headers import say_little
from rtlab.server.node import Node

__all__ = ["Server", "make_app"]

#: The longest request line or header field: a cursor that names many rooms exceeds aiohttp's default.
MAX_LINE_BYTES: Final = 16 * 1024

_log = server_log("rtlab.server.endpoints.http")


def make_app(node: Node, sockets: Callable[[], TcpConnections | None] = lambda: None) -> web.Application:
    """Make the aiohttp application that serves a node.

    Parameters
    ----------
    node : Node
        Rooms, sessions and options.
    sockets : callable
        Returns the counter of TCP connections; None while the server does not listen yet.

    Returns
    -------
    aiohttp.web.Application
    """

    @web.middleware
    async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
        node.turn_meter.working(node.clock())
        counted = sockets()
        if counted is None:
            return await handler(request)
        try:
            if counted.begin(request.protocol) and request.path not in PUBLIC:
                text = f"the server has its {counted.most:,} TCP connections: try again later"
                return json_error(503, "full", text, {"Retry-After": "5", "Connection": "close"})
            return await handler(request)
        finally:
            counted.end(request.protocol)

    # The first is the outermost. A stopping server refuses a request after it has waited for its handshake.
    security = node.options.security
    checks = [
        note_request,
        make_origin_check(node, origin_looks_right if security == "naive" else None),
        make_handshake_limit(node),
        make_drain_refusal(node),
    ]
    body_limit = node.options.max_message_bytes + 1024
    app = web.Application(middlewares=checks, client_max_size=body_limit)
    app[NODE] = node
    app.on_response_prepare.append(add_cors_headers)
    if security != "open":
        app.on_response_prepare.append(say_little if security == "right" else say_much)
        app.on_response_prepare.append(make_access_log(node, redact=security == "right"))
    app.router.add_get("/", index)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/stats", stats)
    app.router.add_get(ROUTES["websocket"], websocket, allow_head=False)
    app.router.add_get(ROUTES["sse"], event_stream, allow_head=False)
    app.router.add_get(ROUTES["longpoll"], poll, allow_head=False)
    app.router.add_put("/api/page-origin", set_page_origin)
    send.add_routes(app)
    webrtc_offer.add_routes(app)
    if node.authority is not None:
        auth.add_routes(app)
        app.router.add_get("/log", access_log)
    return app


class Server:
    """Serves a node on a port.

    Parameters
    ----------
    node : Node
        The node to serve.
    host : str
        The address to listen on.
    port : int
        The port to listen on; 0 lets the system choose.
    tls : ssl.SSLContext, optional
        Serve https and wss with this context; http and ws if omitted.
    max_sockets : int, optional
        TCP connections that may be open; by default three quarters of the process's descriptors.

    Examples
    --------
    >>> server = Server(Node(Options(token="secret")))  # doctest: +SKIP
    >>> await server.start()                            # doctest: +SKIP
    """

    def __init__(
        self,
        node: Node,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        max_sockets: int | None = None,
    ) -> None:
        self.node = node
        self._tls = tls
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._max_sockets = max_sockets
        self._listener: asyncio.Server | None = None
        self._sockets: TcpConnections | None = None

    @property
    def port(self) -> int:
        """The port that the server listens on; call `start` first."""
        assert self._listener is not None
        return self._listener.sockets[0].getsockname()[1]

    async def start(self) -> None:
        """Begin to listen and serve.

        Raises
        ------
        OSError
            When the port is taken.
        """
        self._runner = web.AppRunner(
            make_app(self.node, lambda: self._sockets),
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
        server = self._runner.server
        assert server is not None
        remove_expect_header(server)
        patience = self.node.options.header_timeout
        reserve = descriptor_reserve()
        self._sockets = sockets = TcpConnections(
            server,
            lambda: server.connections,
            self.node.clock,
            nofile() - reserve if self._max_sockets is None else self._max_sockets,
            0.0 if self._tls is None else patience,
        )
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                sockets,
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else max(1.0, patience),
                backlog=max(1, min(4096, _accepted_in_a_turn(reserve))),
            )
        except OSError:
            await self._runner.cleanup()
            raise
        self.node.start()
        if self.node.options.security != "naive":  # that setting lets connections stay silent for ever
            self.node.upkeep.add(lambda: sockets.drop_silent(patience))

    async def stop(self) -> None:
        """Stop accepting connections, close every open one gracefully, and free the port."""
        if self._runner is None:
            return
        if self._listener is not None:
            self._listener.close()
        await self.node.stop()
        await self._runner.cleanup()
        self._runner = None


def _accepted_in_a_turn(reserve: int) -> int:
    """Return the listen backlog, which the loop accepts in one turn; all of it must fit into the reserve.

    A connection that is closed to make room gives its descriptor back only a turn later. asyncio's own
    loop takes three turns from accepting a connection to closing another one, so its backlog is smaller.
    """
    own = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    return reserve // 4 if own else reserve - 64
