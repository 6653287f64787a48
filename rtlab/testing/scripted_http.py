"""An HTTP server that answers exactly what a script says, byte for byte, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import ssl as ssl_module
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec

from rtlab.protocol.http1_message_parser import Body, parse_head

__all__ = ["ReceivedRequest", "Script", "ScriptedServer", "response"]

HEAD_TIMEOUT: Final = 30.0


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A client's request.

    Parameters
    ----------
    method, path : str
        ``"GET"`` and ``"/sse"``, say.
    target : str
        Path and query, as in the request line.
    query : dict
        The last value of each parameter.
    headers : dict
        Values as received, by lower-case name.
    body : bytes
        The body, without its transfer coding.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, bytes]
    body: bytes = b""
    target: str = ""


#: Writes the response to one request. Returning True keeps the connection open for the next request.
Script = Callable[[ReceivedRequest, asyncio.StreamWriter], Awaitable[bool | None]]


def response(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Make a complete response.

    Parameters
    ----------
    status : int
        The status code.
    body : bytes
        The body; its ``Content-Length`` is added.
    **headers : str
        Further header fields; underscores in names become hyphens.

    Examples
    --------
    >>> response(204, retry_after="3")
    b'HTTP/1.1 204 X\\r\\nretry-after: 3\\r\\nContent-Length: 0\\r\\n\\r\\n'
    """
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class ScriptedServer:
    """Listens on a port of 127.0.0.1 that the system chooses.

    Parameters
    ----------
    script : callable
        Called with each request and the writer for its response.
    ssl : ssl.SSLContext, optional
        Serves ``https://`` with these TLS settings; None serves ``http://``.

    Attributes
    ----------
    url : str
        The base URL, without a path.
    requests : list of ReceivedRequest
        All requests received, in order.

    Examples
    --------
    >>> async def not_found(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
    ...     writer.write(response(404))
    >>> async def serve() -> None:
    ...     async with ScriptedServer(not_found) as server:
    ...         print(server.url)
    """

    def __init__(self, script: Script, ssl: ssl_module.SSLContext | None = None) -> None:
        self.url = ""
        self._ssl = ssl
        self.requests: list[ReceivedRequest] = []
        self._script = script
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl)
        scheme = "http" if self._ssl is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that disconnects in the middle of a request ends only its own connection.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            requests = _Requests(reader)
            try:
                again: bool | None = True
                while again:
                    request = await requests.next()
                    self.requests.append(request)
                    again = await self._script(request, writer)
                    await writer.drain()
            finally:
                writer.close()


class _Requests:
    """Reads one request after another from a connection."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = b""

    async def next(self) -> ReceivedRequest:
        async with asyncio.timeout(HEAD_TIMEOUT):
            while (head := parse_head(self._buffer)) is None:
                await self._more()
            content, self._buffer = b"", self._buffer[head.size :]
            body = Body(head)
            while True:
                piece, self._buffer = body.feed(self._buffer)
                content += piece
                if body.done:
                    break
                await self._more()
        target = head.path.decode("latin-1")
        parts = urlsplit(target)
        headers = {name.decode("latin-1").lower(): value for name, value in head.fields}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return ReceivedRequest(head.method.decode("ascii"), parts.path, query, headers, content, target)

    async def _more(self) -> None:
        data = await self._reader.read(65_536)
        if not data:
            raise asyncio.IncompleteReadError(self._buffer, None)
        self._buffer += data
