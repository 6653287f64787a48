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

__all__ = ["Request", "Script", "ScriptedServer", "response"]

HEAD_TIMEOUT: Final = 30.0


class Request(msgspec.Struct, frozen=True):
    """What a client asked.

    Parameters
    ----------
    method, path : str
        ``"GET"`` and ``"/sse"``, say.
    query : dict
        The last value of each parameter.
    headers : dict
        By lower-case name, as the bytes that came.
    body : bytes
        As long as ``Content-Length`` says.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, bytes]
    body: bytes = b""


#: Writes the answer to one request. True keeps the connection for the next one.
Script = Callable[[Request, asyncio.StreamWriter], Awaitable[bool | None]]


def response(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Make a whole answer.

    Parameters
    ----------
    status : int
        The status code.
    body : bytes
        With its ``Content-Length``.
    **headers : str
        Underscores become hyphens.

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
        Gets each request and the writer to answer on.
    ssl : ssl.SSLContext, optional
        Serves ``https://``.

    Attributes
    ----------
    url : str
        Without a path.
    requests : list of Request
        All that came, in order.

    Examples
    --------
    >>> async def not_found(request: Request, writer: asyncio.StreamWriter) -> None:
    ...     writer.write(response(404))
    >>> async def serve() -> None:
    ...     async with ScriptedServer(not_found) as server:
    ...         print(server.url)
    """

    def __init__(self, script: Script, ssl: ssl_module.SSLContext | None = None) -> None:
        self.url = ""
        self._ssl = ssl
        self.requests: list[Request] = []
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
        # A client that hangs up in the middle ends this connection, and nothing else.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            try:
                again: bool | None = True
                while again:
                    request = await _read(reader)
                    self.requests.append(request)
                    again = await self._script(request, writer)
                    await writer.drain()
            finally:
                writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    async with asyncio.timeout(HEAD_TIMEOUT):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        method, target, _ = first.decode("ascii").split(" ")
        fields = (line.partition(b":") for line in lines)
        headers = {name.decode("ascii").lower(): value.strip() for name, _, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", b"0")))
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)
