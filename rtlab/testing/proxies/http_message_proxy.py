"""A proxy in front of a real HTTP server: acts on single messages of event streams, long polls and POSTs."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from rtlab.errors import RtlabError, describe
from rtlab.faults.toxics.message_boundary_scanner import EventScanner
from rtlab.protocol.urls import parse_url
from rtlab.testing.proxies.proxy_rules_for_single_messages import MessageRules, Sender

__all__ = ["HttpMessageProxy"]

MAX_BYTES: Final = 16 * 1024 * 1024
SHUTDOWN_TIMEOUT: Final = 1.0
#: Header fields that are not forwarded: those of one hop (RFC 9110 §7.6.1), and those the proxy sets anew.
_OF_ONE_HOP: Final = frozenset(
    {"connection", "host", "keep-alive", "transfer-encoding", "content-length", "upgrade", "accept-encoding"}
)
_END_OF_LINE: Final = re.compile(r"\r\n|\n|\r")


class HttpMessageProxy(MessageRules):
    """Stands between clients and a real HTTP server, and touches only the messages that a test names.

    A message is the data of an event, an entry of a poll's ``messages``, or the JSON that a ``POST`` carries:
    one value, or each value of an array. All else passes unchanged: path, query, fields, status, ``id`` and
    ``event`` of events, cursors, comments. When a client disconnects, the proxy cancels its request upstream.

    HTTP keeps the order within a stream or a body, and a cursor promises that everything before it has been
    delivered. So everything behind a held message in the same stream or body waits too, whatever ``alone``
    says; other requests pass. To damage the bytes themselves, put the fault proxy in front.

    Parameters
    ----------
    upstream : str
        The server's URL, ``http://`` or ``https://``.
    ssl : ssl.SSLContext, optional
        TLS settings for an ``https://`` upstream; None: the system's trusted certificates.

    Attributes
    ----------
    journal : Journal
        Every message, who sent it, and what was done to it; each request is a connection of its own.

    Examples
    --------
    >>> async def lost_event(url):
    ...     async with HttpMessageProxy(url) as proxy:
    ...         proxy.drop("server", {"type": "echo"})
    ...         async with ServerSentEvents(proxy.url) as conn:
    ...             await conn.request("echo", 1, timeout=0.5)  # raises TimeoutError
    """

    def __init__(self, upstream: str, *, ssl: Any = None) -> None:
        super().__init__()
        self.upstream = parse_url(upstream, "http://host:port").over("http")
        self._ssl: Any = True if ssl is None else ssl
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._count = 0

    @property
    def url(self) -> str:
        """The URL that clients use instead of the upstream's."""
        if self._runner is None:
            raise RtlabError(
                "expected a proxy that listens: write `async with HttpMessageProxy(url) as proxy:`"
            )
        query = "" if self.upstream.query is None else f"?{self.upstream.query}"
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}{self.upstream.path}{query}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        )
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_route("*", "/{path:.*}", self._carry)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_TIMEOUT, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        session, self._session = self._session, None
        if runner is not None:
            await runner.cleanup()
        if session is not None:
            await session.close()
        if error is None:
            self.check()

    async def _carry(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        if request.headers.get("Upgrade", "").lower() == "websocket":
            raise web.HTTPNotImplemented(
                text="for a WebSocket use rtlab.testing.proxies.websocket_message_proxy.MessageProxy"
            )
        self._count += 1
        number = self._count
        body = await self._body("client", await request.read(), number)
        fields = [(name, text) for name, text in request.headers.items() if name.lower() not in _OF_ONE_HOP]
        try:
            async with self._session.request(
                request.method,
                URL(f"{self.upstream.scheme}://{self.upstream.netloc}{request.raw_path}", encoded=True),
                headers=[*fields, ("Accept-Encoding", "identity")],
                data=body or None,
                allow_redirects=False,
                ssl=self._ssl,
            ) as answer:
                if answer.content_type == "text/event-stream" and answer.status == 200:
                    return await self._events(request, answer, number)
                content = await self._body("server", await answer.read(), number)
                return web.Response(status=answer.status, headers=_passing(answer), body=content)
        except (aiohttp.ClientError, OSError) as error:
            return web.Response(status=502, text=f"the server cannot be reached: {describe(error)}\n")

    async def _events(
        self, request: web.Request, answer: aiohttp.ClientResponse, number: int
    ) -> web.StreamResponse:
        stream = web.StreamResponse(status=answer.status, headers=_passing(answer))
        await stream.prepare(request)
        scanner = EventScanner()
        try:
            async for chunk in answer.content.iter_any():
                for unit in scanner.feed(chunk):
                    if unit.type is None:
                        await stream.write(unit.raw)
                        continue
                    for event in await self._event(unit.raw, number):
                        await stream.write(event)
        except aiohttp.ClientError:
            if request.transport is not None:  # the server broke off: so does the proxy
                request.transport.abort()
        return stream

    async def _event(self, raw: bytes, number: int) -> list[bytes]:
        """Apply the rules to one event, whose data is the message; return the events to send instead."""
        lines = [line for line in _END_OF_LINE.split(raw.decode("utf-8", "replace")) if line]
        data = "\n".join(_value(line) for line in lines if line.partition(":")[0] == "data")
        others = [line for line in lines if line.partition(":")[0] != "data"]
        became = await self.passed("server", data, number)
        return [raw if new == data else _written(others, new) for new in became]

    async def _body(self, sender: Sender, raw: bytes, number: int) -> bytes:
        """Apply the rules to a body's messages; return the new body. One that is not JSON is unchanged."""
        try:
            entries, whole = _entries(sender, raw)
            texts = [bytes(entry).decode() for entry in entries]  # msgspec does not check a Raw's UTF-8
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return raw
        became = [new for text in texts for new in await self.passed(sender, text, number)]
        if became == texts:
            return raw
        made = [msgspec.Raw(new if isinstance(new, bytes) else new.encode()) for new in became]
        if whole is not None:
            return msgspec.json.encode({**whole, "messages": made})
        return bytes(made[0]) if len(made) == 1 else msgspec.json.encode(made)


def _entries(sender: Sender, raw: bytes) -> tuple[list[msgspec.Raw], dict[str, msgspec.Raw] | None]:
    """Return the messages of a body, and the JSON object that contains them, if there is one."""
    if sender == "server":
        whole = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return msgspec.json.decode(whole.get("messages", b"[]"), type=list[msgspec.Raw]), whole
    if raw.lstrip().startswith(b"["):
        return msgspec.json.decode(raw, type=list[msgspec.Raw]), None
    return [msgspec.json.decode(raw, type=msgspec.Raw)], None


def _passing(answer: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    return [(name, text) for name, text in answer.headers.items() if name.lower() not in _OF_ONE_HOP]


def _value(line: str) -> str:
    return line.partition(":")[2].removeprefix(" ")


def _written(others: list[str], data: str | bytes) -> bytes:
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    return "\n".join([*others, *(f"data: {line}" for line in text.split("\n")), "", ""]).encode()
