"""The HTTP client of event streams and long polls, and what its answers and errors mean."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

import httpcore
import httpx

from rtlab.client.transports._sockets import Backend
from rtlab.errors import ConnectFailed, MessageTooLarge, TransportClosed
from rtlab.protocol.http_status import retry_after

__all__ = ["HttpClient", "endpoint", "explain", "hint_of", "loss", "refused"]

# Timeouts
CONNECT_TIMEOUT: Final = 10.0
WRITE_TIMEOUT: Final = 10.0
PING_TIMEOUT: Final = 10.0
REASON_TIMEOUT: Final = 1.0
CLOSE_TIMEOUT: Final = 1.0
KEEPALIVE: Final = 5.0  # servers keep idle connections longer

# Limits
MAX_CONNECTIONS: Final = 2  # one for what comes, one for what goes
MAX_REDIRECTS: Final = 10
MAX_REASON_CHARS: Final = 200
MAX_ANSWER_BYTES: Final = 1 << 20

_RETRYABLE_STATUS: Final = frozenset({408, 425, 429})


class HttpClient:
    """One transport's connections.

    Parameters
    ----------
    headers : mapping, optional
        Sent with every request. It is copied.
    ssl : ssl.SSLContext, optional
        For ``https://``; None is the usual certificate authorities.

    Notes
    -----
    Proxies from the environment are not used: what is measured is the path to
    the URL that was given.
    """

    def __init__(
        self, headers: Mapping[str, str] | None = None, ssl: ssl_module.SSLContext | None = None
    ) -> None:
        self._backend = Backend()
        pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE,
            network_backend=self._backend,
        )
        self._client = httpx.AsyncClient(
            transport=_PoolTransport(pool), headers=headers, max_redirects=MAX_REDIRECTS, trust_env=False
        )

    @property
    def heard(self) -> float:
        """When a byte last arrived on any connection, `time.monotonic` seconds."""
        return self._backend.heard

    async def start(
        self,
        method: Literal["GET", "POST"],
        url: httpx.URL,
        headers: Mapping[bytes, bytes],
        *,
        read_timeout: float,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send a request, return the head of the answer; its body is still to come.

        Parameters
        ----------
        method, url, headers, content
            The request. A GET follows redirects, a POST does not.
        read_timeout : float
            Seconds of silence to bear, now and while the body is read.

        Raises
        ------
        httpx.TransportError, httpx.TooManyRedirects
            See `explain`.
        """
        timeout = httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT, write=WRITE_TIMEOUT)
        request = self._client.build_request(method, url, headers=headers, content=content, timeout=timeout)
        return await self._client.send(request, stream=True, follow_redirects=method == "GET")

    async def read(self, response: httpx.Response, max_bytes: int) -> bytes:
        """Return the whole body; the connection is free for the next request.

        Raises
        ------
        MessageTooLarge
            The connection is dropped.
        httpx.TransportError
            It was lost on the way.
        """
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > max_bytes:
                    raise MessageTooLarge(len(body), max_bytes)
        finally:
            await response.aclose()
        return bytes(body)

    async def round_trip(self, url: httpx.URL, clock: Callable[[], float]) -> float:
        """Return the seconds that one small request takes; any answer but a server's error will do.

        Raises
        ------
        TransportClosed
            There was none.
        """
        try:
            start = clock()
            response = await self.start("GET", url, {}, read_timeout=PING_TIMEOUT)
            await self.read(response, MAX_ANSWER_BYTES)
            elapsed = clock() - start
        except (httpx.HTTPError, MessageTooLarge) as error:
            raise TransportClosed(1006, f"no round trip: {explain(error, url)}") from error
        if response.status_code >= 500:
            raise TransportClosed(1006, f"no round trip: {url.path} answered HTTP {response.status_code}")
        return elapsed

    async def close(self) -> None:
        """End idle connections in an orderly way, the others at once; bounded in time."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.aclose()
        except TimeoutError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop all sockets, without waiting; what is being read ends with an error."""
        self._backend.abort()


class _PoolTransport(httpx.AsyncHTTPTransport):
    """httpx's adapter around a given pool, rather than around one of its own."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        # The inherited __init__ would build another pool, and load certificates for it.
        self._pool = pool


def endpoint(url: str, path: str | None) -> httpx.URL:
    """Return the URL to ask: with `path` where the given one has none.

    Parameters
    ----------
    url : str
        ``http://``, ``https://``, or the same server's ``ws://`` or ``wss://``.
    path : str or None
        ``"/sse"``, say; None keeps the URL as it is.

    Raises
    ------
    ConnectFailed
        For what is no such URL.

    Examples
    --------
    >>> str(endpoint("http://127.0.0.1:8000", "/sse"))
    'http://127.0.0.1:8000/sse'
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ConnectFailed(
            f"expected a URL like http://host:port{path or '/stream'}, got {url!r:.200}", retryable=False
        ) from error
    scheme = {"ws": "http", "wss": "https"}.get(parsed.scheme, parsed.scheme)
    if scheme not in ("http", "https") or not parsed.host:
        raise ConnectFailed(
            f"expected a URL that starts with http:// or https://, got {url!r:.200}", retryable=False
        )
    keep = path is None or parsed.path not in ("", "/")
    return parsed.copy_with(scheme=scheme, path=parsed.path if keep else path)


def hint_of(response: httpx.Response) -> float | None:
    """Seconds that an answer asks for before the next attempt, None if it does not."""
    headers = response.headers
    return retry_after(headers.get("retry-after", ""), headers.get("date", ""), now=time.time())


async def refused(response: httpx.Response, *, strict: bool) -> ConnectFailed:
    """Turn an answer that is no success into an error; the body is read for its reason.

    Parameters
    ----------
    response : httpx.Response
        As `HttpClient.start` returned it. It is closed.
    strict : bool
        Whether every such answer is final; else 408, 425, 429 and 5xx pass.
    """
    text = ""
    try:
        async with asyncio.timeout(REASON_TIMEOUT):
            async for chunk in response.aiter_text():
                text = chunk.strip()[:MAX_REASON_CHARS]
                break
            await response.aclose()
    except (TimeoutError, httpx.HTTPError):
        pass  # a reason is a courtesy
    status = response.status_code
    if status == 204:
        reason = "the server answered 204 No Content: it wants no further attempts"
    else:
        said = f" ({text})" if text else ""
        reason = f"{response.url.copy_with(query=None)} answered HTTP {status}{said} instead of 200"
    again = not strict and (status >= 500 or status in _RETRYABLE_STATUS)
    return ConnectFailed(reason, retryable=again, status=status, retry_after=hint_of(response))


def explain(error: Exception, url: httpx.URL) -> ConnectFailed:
    """Turn httpx's error into ours, with the next step."""
    at = url.netloc.decode("ascii", "replace")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl_module.SSLError):
            return ConnectFailed(f"TLS with {at} failed ({cause}): check the certificate", retryable=False)
        cause = cause.__context__  # httpcore clears __cause__
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectFailed(f"{at} did not answer within {CONNECT_TIMEOUT:g} s: is it the right address?")
    if isinstance(error, httpx.ConnectError):
        return ConnectFailed(f"no connection to {at}: {error}: is the server running?")
    if isinstance(error, httpx.TooManyRedirects):
        return ConnectFailed(f"{at} redirects in circles: give the final URL", retryable=False)
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return ConnectFailed(f"the request to {at} cannot be sent: {error}", retryable=False)
    return ConnectFailed(f"no answer from {at}: {error or type(error).__name__}")


def loss(error: Exception) -> str:
    """Say in plain words what ended an answer that had begun.

    Parameters
    ----------
    error : Exception
        What httpx raised while the body was read.

    Returns
    -------
    str
        The same words whatever the operating system calls it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "the connection was reset"
        cause = cause.__context__
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection ended in the middle of an answer"
    return str(error) or type(error).__name__
