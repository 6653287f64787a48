"""A proxy in front of a real WebSocket server: changes, drops, repeats or holds single messages."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl as ssl_module
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response as HttpResponse
from websockets.protocol import State
from websockets.typing import Subprotocol

from rtlab.errors import RtlabError, describe
from rtlab.protocol.http_status_and_retry_after import retry_after
from rtlab.protocol.urls import parse_url
from rtlab.testing.mock.mock_frames import (
    ConnectionEnd,
    Item,
    MakeLink,
    MemoryLink,
    Request,
    Response,
)
from rtlab.testing.proxies.proxy_rules_for_single_messages import MessageRules

__all__ = ["MessageProxy"]

MAX_BYTES: Final = 16 * 1024 * 1024
#: Messages queued for a receiver that does not read; beyond that, the proxy stops reading from the sender.
MAX_WAITING: Final = 1_000
CLOSE_TIMEOUT: Final = 1.0
_ONLY_WEBSOCKET: Final = (
    "a MessageProxy carries WebSockets only. For an event stream or a long poll use "
    "rtlab.testing.proxies.http_message_proxy.HttpMessageProxy"
)
#: Silences the log of `websockets`: it is about peers that disconnect, and the journal has those.
_QUIET: Final = logging.getLogger("rtlab.testing.proxies.websocket_message_proxy")
_QUIET.setLevel(logging.CRITICAL)


class MessageProxy(MessageRules):
    """Stands between clients and a real WebSocket server, and touches only the messages that a test names.

    All else passes unchanged: path, query, headers, subprotocol, refusals, close codes, resets. The proxy
    itself answers pings and close frames, and negotiates no compression. To damage the bytes themselves, put
    the fault proxy in front.

    It carries WebSockets only and refuses any other request: `HttpMessageProxy` carries event streams, long
    polls and POSTs.

    Parameters
    ----------
    upstream : str
        The server's URL, ``ws://`` or ``wss://``.
    link : callable, optional
        Faults for all messages: `MessageFaults`; None: no faults.
    ssl : ssl.SSLContext, optional
        TLS settings for a ``wss://`` upstream; None: the system's trusted certificates.

    Attributes
    ----------
    journal : Journal
        Every message, who sent it, and what was done to it.

    Examples
    --------
    >>> async def lost_answer(url):
    ...     async with MessageProxy(url) as proxy:
    ...         proxy.drop("server", {"type": "echo"})
    ...         async with WebSocketConnection(proxy.url) as conn:
    ...             await conn.request("echo", 1, timeout=0.5)  # raises TimeoutError
    """

    def __init__(
        self, upstream: str, *, link: MakeLink | None = None, ssl: ssl_module.SSLContext | None = None
    ) -> None:
        super().__init__()
        self.upstream = parse_url(upstream, "ws://host:port/ws").over("ws")
        self.make_link = link
        self.tls: dict[str, Any] = {} if ssl is None else {"ssl": ssl}
        self._server: Server | None = None
        self._relays: dict[ServerConnection, _Relay] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._count = 0

    @property
    def url(self) -> str:
        """The URL that clients connect to instead of the upstream."""
        if self._server is None:
            raise RtlabError("expected a proxy that listens: write `async with MessageProxy(url) as proxy:`")
        port = self._server.sockets[0].getsockname()[1]
        query = "" if self.upstream.query is None else f"?{self.upstream.query}"
        return f"ws://127.0.0.1:{port}{self.upstream.path}{query}"

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._open,
            select_subprotocol=lambda client, offered: self._relays[client].subprotocol,
            compression=None,
            ping_interval=None,
            max_size=MAX_BYTES,
            close_timeout=CLOSE_TIMEOUT,
            server_header=None,
            logger=_QUIET,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for relay in tuple(self._relays.values()):  # its client left before the handshake was answered
            await relay.end()
        self._relays.clear()
        if server is not None:
            server.close()
            await server.wait_closed()
        if error is None:
            self.check()

    async def _open(self, client: ServerConnection, request: HttpRequest) -> HttpResponse | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            refusal = client.respond(HTTPStatus.UPGRADE_REQUIRED, f"{_ONLY_WEBSOCKET}\n")
            refusal.headers["Upgrade"] = "websocket"  # RFC 9110 §15.5.22
            return refusal
        self._count += 1
        relay = self._relays[client] = _Relay(self, self._count, client)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._relays.pop(client, None))
        return await relay.open(request)

    async def _serve(self, client: ServerConnection) -> None:
        await self._relays[client].run()


class _Relay:
    """One proxied connection: what one side sends is queued for the other, and written from there."""

    def __init__(self, proxy: MessageProxy, number: int, client: ServerConnection) -> None:
        self.subprotocol: Subprotocol | None = None
        self._proxy = proxy
        self._number = number
        self._client = client
        self._server: ClientConnection | None = None
        self._refusal = ""
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._opened: asyncio.Future[Response] = loop.create_future()
        self._asked: asyncio.Future[None] = loop.create_future()
        self._from_client: asyncio.Queue[Item] = asyncio.Queue()
        self._from_server: asyncio.Queue[Item] = asyncio.Queue()
        # A message passes the rules first, then the link with faults for all messages.
        self._links: list[MemoryLink] = []
        up, down = self._up, self._down
        if proxy.make_link is not None:
            self._links.append(proxy.make_link(number, up, down))
            up, down = self._links[-1].up, self._links[-1].down
        self._links.append(proxy(number, up, down))
        self._link = self._links[-1]

    # Called by the links

    def _up(self, item: Item) -> None:
        if isinstance(item, Request):
            self._asked.set_result(None)
        else:
            self._from_client.put_nowait(item)

    def _down(self, item: Item) -> None:
        if isinstance(item, Response):
            self._opened.set_result(item)
        else:
            self._from_server.put_nowait(item)

    # Opening

    async def open(self, request: HttpRequest) -> HttpResponse | None:
        """Open the same connection to the server; return the refusal for the client, None to accept it."""
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
        protocols = tuple(name.strip() for name in offered.split(",") if name.strip())
        self._link.up(Request(request.path, protocols))
        await asyncio.wait((self._asked, self._opened), return_when=asyncio.FIRST_COMPLETED)
        if self._asked.done():
            self._link.down(await self._dial(request, protocols))
        answer = await self._opened
        if answer.status == 101:
            self.subprotocol = None if answer.subprotocol is None else Subprotocol(answer.subprotocol)
            return None
        status = answer.status or HTTPStatus.BAD_GATEWAY.value
        self._note("proxy", "refuses", f"{status} {self._refusal}".strip())
        refusal = self._client.respond(status, f"{self._refusal}\n")
        if answer.retry_after is not None:
            refusal.headers["Retry-After"] = f"{math.ceil(answer.retry_after)}"
        return refusal

    async def _dial(self, request: HttpRequest, protocols: tuple[str, ...]) -> Response:
        upstream = self._proxy.upstream
        headers = [(name, value) for name, value in request.headers.raw_items() if not _is_own(name)]
        try:
            self._server = await connect(
                f"{upstream.scheme}://{upstream.netloc}{request.path}",
                subprotocols=[Subprotocol(name) for name in protocols] or None,
                additional_headers=headers,
                user_agent_header=None,
                compression=None,
                proxy=None,
                ping_interval=None,
                max_size=MAX_BYTES,
                close_timeout=CLOSE_TIMEOUT,
                logger=_QUIET,
                **self._proxy.tls,
            )
        except InvalidStatus as error:
            self._refusal = f"the server answers with status {error.response.status_code}"
            fields = error.response.headers
            wait, date = ("".join(fields.get_all(name)[:1]) for name in ("Retry-After", "Date"))
            return Response(error.response.status_code, None, retry_after(wait, date, now=time.time()))
        except Exception as error:  # no server, no TLS, no WebSocket
            self._refusal = f"the server cannot be reached: {describe(error)}"
            return Response(0)
        if self._client.state is not State.CONNECTING:  # the client left meanwhile
            await self.end()
        return Response(101, self._server.subprotocol)

    # Open

    async def run(self) -> None:
        """Carry messages until both sides have ended."""
        client, server = self._client, self._server
        assert server is not None
        try:
            async with asyncio.TaskGroup() as group:
                for work in (
                    self._read("client", client, self._link.up, self._from_client),
                    self._read("peer", server, self._link.down, self._from_server),
                    self._write(self._from_client, server),
                    self._write(self._from_server, client),
                ):
                    group.create_task(work)
        finally:
            for link in self._links:
                link.cut()
            await self.end()

    async def end(self) -> None:
        """Close the connection to the server, if it is open."""
        if self._server is not None:
            await self._server.close(1001)

    async def _read(
        self,
        who: str,
        source: ClientConnection | ServerConnection,
        carry: Callable[[Item], None],
        queue: asyncio.Queue[Item],
    ) -> None:
        try:
            while True:
                data = await source.recv()
                self._note(who, "message", data)
                carry(data)
                if queue.qsize() > MAX_WAITING:
                    await queue.join()
        except ConnectionClosed:
            code, reason = source.close_code, source.close_reason or ""
            if code is None or code == 1006:
                self._note(who, "reset", "")
                carry(ConnectionEnd.RESET)
            else:
                self._note(who, "close", f"{code} {reason}".strip())
                carry(Close(code, reason))

    async def _write(self, queue: asyncio.Queue[Item], target: ClientConnection | ServerConnection) -> None:
        while True:
            item = await queue.get()
            try:
                if isinstance(item, (str, bytes)):
                    await target.send(item)
                elif isinstance(item, Close):
                    await target.close(1000 if item.code == 1005 else item.code, item.reason)
                    return
                else:
                    target.transport.abort()
                    return
            except ConnectionClosed:
                pass  # the reader of this connection reports its end to the other side
            finally:
                queue.task_done()

    def _note(self, who: str, what: str, data: str | bytes) -> None:
        self._proxy.journal.add(self._time(), who, what, data, self._number)


def _is_own(name: str) -> bool:
    """Return whether a header field is the proxy's own, and so not forwarded."""
    lower = name.lower()
    return lower in ("host", "connection", "upgrade") or lower.startswith("sec-websocket-")
