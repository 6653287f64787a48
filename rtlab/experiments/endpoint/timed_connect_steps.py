"""A bare connection to any server, timed step by step; its errors say what to try next."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl as ssl_module
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from rtlab.client.transports.explain_connect_failures import explain_os_error
from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import (
    Fields,
    FrameReader,
    ReceivedFrame,
    new_key,
    raw_frame,
    request_head,
    upgrade_fields,
)
from rtlab.protocol.http1_message_parser import Body, Head, NotHttp, parse_head
from rtlab.protocol.urls import Url
from rtlab.protocol.websocket_framing import CLOSE
from rtlab.protocol.websocket_handshake import accept_of

__all__ = ["TIMEOUT", "Steps", "Wire", "dial", "insecure_tls", "trusting_tls"]

#: Seconds that each step of a connection may take.
TIMEOUT: Final = 5.0

#: Limit on a response body, which is read only to recognise what it is.
MAX_BODY_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 64 * 1024


class Steps(NamedTuple):
    """Seconds that each step of opening took. `dns` is None for an IP address, `tls` is None without TLS."""

    dns: float | None
    tcp: float
    tls: float | None


def trusting_tls(cafile: str | None = None) -> ssl_module.SSLContext:
    """Return a TLS context that trusts the system's authorities, or those of a file.

    Raises
    ------
    ConnectFailed
        When the file cannot be read or holds no certificate.
    """
    try:
        return ssl_module.create_default_context(cafile=cafile)
    except (OSError, ssl_module.SSLError) as error:
        raise ConnectFailed(f"cannot use {cafile} as certificates: {error}", retryable=False) from None


def insecure_tls() -> ssl_module.SSLContext:
    """Return a TLS context that accepts any certificate: to inspect a server, never for real data."""
    context = ssl_module.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl_module.CERT_NONE
    return context


class Wire:
    """One open connection; use it in ``async with``.

    Attributes
    ----------
    url : Url
        The URL that was dialled.
    steps : Steps
        Seconds that each step of opening took.
    address : str
        IP address of the server.
    """

    def __init__(
        self,
        url: Url,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        steps: Steps,
        timeout: float,
        headers: Mapping[str, str],
    ) -> None:
        self.url = url
        self.steps = steps
        self.address = str(writer.get_extra_info("peername")[0])
        self.reader = reader
        self._writer = writer
        self._timeout = timeout
        self._headers = headers
        self._rest = b""
        self._frames: FrameReader | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def tls(self) -> ssl_module.SSLObject | None:
        """The TLS session, with version and cipher; None without TLS."""
        return self._writer.get_extra_info("ssl_object")

    async def send(self, data: bytes) -> None:
        """Write bytes. Errors are ignored: a peer that is gone is noticed at the next read."""
        with contextlib.suppress(OSError, TimeoutError):
            self._writer.write(data)
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()

    async def head(self, timeout: float | None = None) -> Head:
        """Read the head of an answer.

        Raises
        ------
        ConnectFailed
            When no answer arrives in time, the connection ends, or the answer is not HTTP.
        """
        at, limit = self.url.netloc, self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                while True:
                    try:
                        head = parse_head(self._rest, response=True)
                    except NotHttp:
                        raise self._no_http() from None
                    if head is not None:
                        self._rest = self._rest[head.size :]
                        if 100 <= head.status < 200 and head.status != 101:
                            continue  # interim: the final one follows (RFC 9110 §15.2)
                        return head
                    data = await self.reader.read(_READ_BYTES)
                    if not data:
                        raise self._no_http()
                    self._rest += data
        except TimeoutError:
            raise ConnectFailed(
                f"{at} took the request and said nothing for {limit:g} s: is it a web server, and the "
                "path right? A long poll may need a longer --timeout"
            ) from None
        except OSError as error:
            raise explain_os_error(error, at) or ConnectFailed(f"no answer from {at}: {error}") from error

    def _no_http(self) -> ConnectFailed:
        at, said = self.url.netloc, self._rest
        if self.tls is None and (not said or said[:2] == b"\x15\x03"):  # a TLS alert (RFC 8446 §5.1)
            secure = "wss" if self.url.scheme == "ws" else "https"
            if said:
                return ConnectFailed(f"{at} expects TLS: use {secure}://", retryable=False)
            return ConnectFailed(f"{at} hung up without an answer: does it expect {secure}://?")
        if not said:
            return ConnectFailed(f"{at} hung up without an answer: is the path right?")
        return ConnectFailed(f"{at} does not speak HTTP, it said {said[:40]!r}: is the port right?")

    async def body(self, head: Head, limit: int = MAX_BODY_BYTES) -> bytes:
        """Read the body after a head, until its end, `limit` bytes, or the timeout."""
        body, content = Body(head), b""
        with contextlib.suppress(TimeoutError, OSError, NotHttp):
            async with asyncio.timeout(self._timeout):
                while True:
                    piece, self._rest = body.feed(self._rest)
                    content += piece
                    if body.done or len(content) >= limit:
                        break
                    data = await self.reader.read(_READ_BYTES)
                    if not data:
                        break
                    self._rest += data
        return content[:limit]

    async def upgrade(self, **fields: Any) -> Head:
        """Request a WebSocket upgrade; return the head of the answer, whatever its status.

        Parameters
        ----------
        **fields
            Header fields of the request, with underscores for hyphens. They replace the usual fields; None
            leaves a field out.
        """
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        key = new_key()
        known: Fields = {**upgrade_fields(key), **self._headers, **given}
        await self.send(request_head(self.url, known))
        head = await self.head()
        if head.status == 101 and (wrong := _wrong_upgrade(head, key)):
            raise ConnectFailed(
                f"{self.url.netloc} answered 101 {wrong} (RFC 6455 §4.1): is it a WebSocket?", retryable=False
            )
        return head

    async def get(self, timeout: float | None = None, **fields: str) -> Head:
        """Send a GET request like a client of event streams and long polls; return the answer's head.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for the answer. None takes the timeout of this connection.
        **fields
            Further header fields of the request, with underscores for hyphens.
        """
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        known = {"Accept": "text/event-stream, application/json", **self._headers}
        await self.send(request_head(self.url, {**known, **given}))
        return await self.head(timeout)

    async def frame(self, timeout: float | None = None) -> ReceivedFrame | None:
        """Return the next frame, None at the end; raises `TimeoutError`."""
        if self._frames is None:
            self._frames = FrameReader(self.reader, self._rest)
        async with asyncio.timeout(self._timeout if timeout is None else timeout):
            return await self._frames.next()

    async def more(self, timeout: float) -> bytes:
        """Return more bytes, empty at the end; raises `TimeoutError`."""
        if self._rest:
            found, self._rest = self._rest, b""
            return found
        try:
            async with asyncio.timeout(timeout):
                return await self.reader.read(_READ_BYTES)
        except TimeoutError:  # an OSError, too
            raise
        except OSError:
            return b""

    async def leave(self) -> None:
        """Close a WebSocket by the closing handshake, so that the server logs no error; wait at most 1 s."""
        await self.send(raw_frame(CLOSE, (1000).to_bytes(2, "big")))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while await self.frame() is not None:
                    continue

    async def close(self) -> None:
        """Abort the connection."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()


def _wrong_upgrade(head: Head, key: str) -> str:
    """Return why a client must reject a 101 (RFC 6455 §4.1); empty if the answer is valid."""
    if b"websocket" not in head.tokens(b"upgrade"):
        return "without Upgrade: websocket"
    if b"upgrade" not in head.tokens(b"connection"):
        return "without Connection: Upgrade"
    if head.get(b"sec-websocket-accept").decode("latin-1") != accept_of(key):
        return "with a wrong Sec-WebSocket-Accept"
    return ""


async def dial(
    url: Url,
    *,
    ssl: ssl_module.SSLContext | None = None,
    timeout: float = TIMEOUT,
    headers: Mapping[str, str] | None = None,
) -> Wire:
    """Open a connection to a URL's host.

    Parameters
    ----------
    url : Url
        The URL to connect to. Its scheme decides whether TLS is used.
    ssl : ssl.SSLContext, optional
        TLS context with the trusted authorities. None trusts the system's.
    timeout : float
        Timeout in seconds for each step.
    headers : mapping, optional
        Header fields of every request, such as credentials, a subprotocol or an origin.

    Raises
    ------
    ConnectFailed
        When a step fails; the message says which one, and what to try next.
    """
    loop = asyncio.get_running_loop()
    scheme, host, port = url.origin
    addresses: list[str] = [host]
    looked_up: float | None = None
    try:
        if not _is_address(host):
            await loop.run_in_executor(None, int)  # starting the first thread must not count as DNS
            began = time.perf_counter()
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [str(entry[4][0]) for entry in found]
            looked_up = time.perf_counter() - began
        began = time.perf_counter()
        async with asyncio.timeout(timeout):
            reader, writer = await _connect(addresses, port)
    except TimeoutError:
        raise ConnectFailed(f"{url.netloc} did not answer within {timeout:g} s: is the host right?") from None
    except OSError as error:
        raise explain_os_error(error, url.netloc) or ConnectFailed(
            f"no connection to {url.netloc}: {error}"
        ) from error
    connected = time.perf_counter()
    secured: float | None = None
    if scheme == "https":
        try:
            await writer.start_tls(ssl or trusting_tls(), server_hostname=host, ssl_handshake_timeout=timeout)
        except (OSError, EOFError) as error:
            writer.transport.abort()
            raise _no_tls(error, url, timeout) from error
        secured = time.perf_counter() - connected
    steps = Steps(looked_up, connected - began, secured)
    return Wire(url, reader, writer, steps, timeout, headers or {})


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _connect(addresses: list[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Try each address in turn; if all fail, raise the error of the last one."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(address, port)
    return await asyncio.open_connection(addresses[-1], port)


def _no_tls(error: Exception, url: Url, timeout: float) -> ConnectFailed:
    at = url.netloc
    if isinstance(error, ssl_module.SSLCertVerificationError):
        return ConnectFailed(
            f"the certificate of {at} is not trusted here ({error.verify_message}): name its authority with "
            "--cafile FILE, or look without trust: --insecure",
            retryable=False,
        )
    if isinstance(error, ssl_module.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        plain = "ws" if url.scheme == "wss" else "http"
        return ConnectFailed(f"{at} answered without TLS: use {plain}://", retryable=False)
    if isinstance(error, ConnectionAbortedError):  # asyncio raises it at a handshake timeout
        return ConnectFailed(f"{at} said nothing to a TLS handshake for {timeout:g} s: is it TLS?")
    return explain_os_error(error, at) or ConnectFailed(f"TLS with {at} failed: {error}")
