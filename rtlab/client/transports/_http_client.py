"""The HTTP client of event streams, long polls and signalling; explains its answers and errors.

httpx makes requests and reads answers. This module handles redirects, cookies and the caller's headers
itself, because no credential may reach another origin, and httpx drops only ``Authorization`` there.
The `send` of httpx's client is not used either, because it logs whole URLs, tokens included.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

import httpcore
import httpx
import msgspec

from rtlab.client.transports._abortable_httpcore_sockets import Backend
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.credentials_interface import Credentials
from rtlab.client.transports.explain_connect_failures import circular, explain_os_error
from rtlab.errors import ConnectFailed, MessageTooLarge, TransportClosed
from rtlab.protocol.http_headers import check_headers
from rtlab.protocol.http_status_and_retry_after import REDIRECTS, code_in, may_retry, reason_in, retry_after
from rtlab.protocol.urls import Origin, Url

__all__ = ["HttpClient", "ResponseHead", "hint_of", "loss", "refused", "session_url"]

# Timeouts
CONNECT_TIMEOUT: Final = 10.0
WRITE_TIMEOUT: Final = 10.0
PING_TIMEOUT: Final = 10.0
REASON_TIMEOUT: Final = 1.0
CLOSE_TIMEOUT: Final = 1.0
KEEPALIVE: Final = 5.0  # seconds; shorter than servers' own, so that this end closes an idle connection first

# Limits
MAX_CONNECTIONS: Final = 2  # one for the stream or poll, one for POSTs
MAX_REDIRECTS: Final = 10
MAX_REASON_BYTES: Final = 4096
MAX_ANSWER_BYTES: Final = 1 << 20

_TO_GET: Final = frozenset({301, 302, 303})  # a POST goes on as a GET, as in browsers (Fetch §4.4)


class ResponseHead(NamedTuple):
    """The head of a response, and the URL that sent it, which redirects may have changed."""

    response: httpx.Response
    url: Url


class HttpClient:
    """The HTTP connections of one transport.

    Parameters
    ----------
    headers : mapping, optional
        Sent with every request to the origin of the first request, and to no other origin.
    ssl : ssl.SSLContext, optional
        The TLS settings for ``https://``; None uses the usual certificate authorities.
    cookies : CookieStore, optional
        The cookies, shared with the connection's former transports; None starts without any.
    auth : Credentials, optional
        Gives the proof for each request to the first origin.
    sending : callable
        Called before bytes of a request are written. A TLS handshake does not count.

    Notes
    -----
    Proxies from the environment are not used, so that the path to the given URL itself
    is measured.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        ssl: ssl_module.SSLContext | None = None,
        cookies: CookieStore | None = None,
        auth: Credentials | None = None,
        sending: Callable[[], None] = lambda: None,
    ) -> None:
        self._given = headers
        self._auth = auth
        self._cookies = cookies if cookies is not None else CookieStore()
        self._home: Origin | None = None
        self._own: dict[str, str] = {}
        self._backend = Backend(sending)
        pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE,
            network_backend=self._backend,
        )
        self._transport = _PoolTransport(pool)
        self._client = httpx.AsyncClient(transport=self._transport, trust_env=False)

    @property
    def heard(self) -> float:
        """When a byte last arrived on any connection, in `time.monotonic` seconds."""
        return self._backend.heard

    async def start(
        self,
        method: Literal["GET", "POST"],
        url: Url,
        headers: Mapping[str, str | bytes],
        *,
        read_timeout: float | None,
        content: bytes | None = None,
        follow: bool = True,
    ) -> ResponseHead:
        """Send a request; return the head of the answer, before its body is read.

        Parameters
        ----------
        method, url, headers, content
            The request.
        read_timeout : float or None
            Seconds without data until a read fails, now and while the body is read; None for no limit.
        follow : bool
            Whether to follow redirects.

        Raises
        ------
        ConnectFailed
            There was no answer, or redirects went in circles or from TLS to plain text.
        """
        self._adopt(url)
        at_home = url.origin == self._home
        asked, verb, body, fields = url, method, content, dict(headers)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._exchange(verb, url, fields, body, read_timeout, at_home)
            raw = response.headers.raw  # httpx would decode the bytes in its own way
            location = next((text for name, text in raw if name.lower() == b"location"), None)
            if not follow or location is None or response.status_code not in REDIRECTS:
                return ResponseHead(response, url)
            await response.aclose()
            target = url.redirected(location)
            # Once another origin was visited, the caller's headers stay off, even after a redirect back
            # home: the other origin chose that URL.
            at_home = at_home and target.origin == self._home
            if verb == "POST" and response.status_code in _TO_GET:
                verb, body = "GET", None
                fields.pop("Content-Type", None)
            url = target
        raise circular(asked)

    def _adopt(self, url: Url) -> None:
        """Bind the caller's credentials to the origin of the first URL."""
        if self._home is None:
            self._own = check_headers(self._given, url.authorization)
            self._home = url.origin

    async def _exchange(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str | bytes],
        content: bytes | None,
        read_timeout: float | None,
        at_home: bool,
    ) -> httpx.Response:
        """Send one request, and send it again if the server was just closing an idle connection."""
        own = self._own if at_home else {}
        if at_home and self._auth is not None:
            own = {**own, **(await self._auth.request(url)).headers}
        fields = self._cookies.added_to({**own, **headers}, url)
        # Values that are bytes may be UTF-8, such as event ids.
        pairs = [(n.encode(), text.encode() if isinstance(text, str) else text) for n, text in fields.items()]
        timeout = httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT, write=WRITE_TIMEOUT)

        async def once() -> httpx.Response:
            try:
                request = self._client.build_request(
                    method, str(url), headers=httpx.Headers(pairs), content=content, timeout=timeout
                )
                response = await self._transport.handle_async_request(request)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _explain(error, url) from error
            response.request = request
            self._cookies.take(url, response.headers.get_list("set-cookie"))
            return response

        response = await once()
        if response.status_code == 408 and _reused(response):
            # A server that closes an idle connection may send 408 first (RFC 9110 §15.5.9). That is not
            # the answer to this request, which can be repeated on a new connection.
            await response.aclose()
            response = await once()
        self._check_coding(response, url)
        return response

    def _check_coding(self, response: httpx.Response, url: Url) -> None:
        """Refuse a content coding that was not asked for: httpx would return such a body undecoded.

        Also refuse a body that is compressed twice: httpx decompresses the bytes of one read at once,
        which may grow a thousandfold in gzip, and a millionfold in gzip of gzip.
        """
        known = {"identity", *_words(self._client.headers["accept-encoding"])}
        words = _words(response.headers.get("content-encoding", ""))
        unknown = [word for word in words if word not in known]
        if len(words) > 1 and not unknown:
            unknown = [", ".join(words)]
        if unknown:
            raise ConnectFailed(
                f"{url.netloc} answered in the coding {unknown[0]!r:.40}, which was not asked for: "
                f"expected one of {', '.join(sorted(known))}",
                retryable=False,
                status=response.status_code,
            )

    async def read(self, response: httpx.Response, max_bytes: int) -> bytes:
        """Return the whole body, and free the connection for the next request.

        Raises
        ------
        MessageTooLarge
            The body exceeds `max_bytes`; the connection is dropped.
        httpx.HTTPError
            The connection was lost before the end of the body.
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

    async def round_trip(self, url: Url, clock: Callable[[], float]) -> float:
        """Return the seconds that one small request takes; any answer below status 500 counts.

        Raises
        ------
        TransportClosed
            There was no such answer.
        """
        try:
            start = clock()
            response, _ = await self.start("GET", url, {}, read_timeout=PING_TIMEOUT)
            await self.read(response, MAX_ANSWER_BYTES)
            elapsed = clock() - start
        except (httpx.HTTPError, MessageTooLarge, ConnectFailed) as error:
            raise TransportClosed(1006, f"no round trip: {loss(error)}") from error
        if response.status_code >= 500:
            raise TransportClosed(1006, f"no round trip: {url.path} answered HTTP {response.status_code}")
        return elapsed

    async def close(self) -> None:
        """Close idle connections in an orderly way, within `CLOSE_TIMEOUT`, and abort the others."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.aclose()
        except TimeoutError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop all sockets at once; a read in progress ends with an error."""
        self._backend.abort()


class _PoolTransport(httpx.AsyncHTTPTransport):
    """httpx's transport around a given connection pool, rather than around a pool of its own."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        # The inherited __init__ would build another pool, and load certificates for it.
        self._pool = pool


def _words(field: str) -> list[str]:
    return [word.strip().lower() for word in field.split(",") if word.strip()]


def _reused(response: httpx.Response) -> bool:
    """Return whether the connection had carried another request before."""
    stream = response.extensions.get("network_stream")
    return stream is not None and bool(stream.get_extra_info("reused"))


def session_url(asked: Url, answered: Url) -> Url:
    """Return the URL for a session's later requests, which go straight to where redirects led.

    Parameters
    ----------
    asked : Url
        The URL that the caller gave. Its query, which may hold a token, goes to its own origin only.
    answered : Url
        The URL that answered. If its origin differs, its query is the one that the redirect named.
    """
    if answered.origin == asked.origin:
        return msgspec.structs.replace(answered, query=asked.query)
    return answered.unresumed()


def hint_of(response: httpx.Response) -> float | None:
    """Return the seconds to wait before the next attempt, by ``Retry-After``; None without one."""
    hint, date = ("".join(response.headers.get_list(name)[:1]) for name in ("retry-after", "date"))
    return retry_after(hint, date, now=time.time())


async def refused(answer: ResponseHead, *, strict: bool = False) -> ConnectFailed:
    """Turn an answer that is no success into an error whose reason is read from the body.

    Parameters
    ----------
    answer : ResponseHead
        The answer, as `HttpClient.start` returned it; this closes it.
    strict : bool
        Whether every such answer is final, as in a browser; False lets `may_retry` decide.
    """
    response, url = answer
    kind = response.headers.get("content-type", "")
    body = b""
    try:
        async with asyncio.timeout(REASON_TIMEOUT):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= MAX_REASON_BYTES:
                    break
            await response.aclose()
    except (TimeoutError, httpx.HTTPError):
        pass  # the status alone says enough
    status, text = response.status_code, reason_in(body, kind)
    if status == 204:
        reason = "the server answered 204 No Content: it wants no further attempts"
    else:
        said = f" ({text})" if text else ""
        reason = f"{url.address} answered HTTP {status}{said} instead of 200"
    again = not strict and may_retry(status, kind)
    return ConnectFailed(
        reason, retryable=again, status=status, retry_after=hint_of(response), code=code_in(body)
    )


def _explain(error: Exception, url: Url) -> ConnectFailed:
    """Turn an error of httpx into a `ConnectFailed` that names the next step."""
    at = url.netloc
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectFailed(f"{at} did not answer within {CONNECT_TIMEOUT:g} s: is it the right address?")
    known = explain_os_error(error, at)
    if known is not None:
        return known
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol | httpx.InvalidURL):
        return ConnectFailed(f"the request to {at} cannot be sent: {error}", retryable=False)
    return ConnectFailed(f"no answer from {at}: {loss(error)}")


def loss(error: Exception) -> str:
    """Return in plain words why an answer ended before it was complete.

    Parameters
    ----------
    error : Exception
        The exception that httpx raised while the body was read.

    Returns
    -------
    str
        The reason, in the same words on every operating system.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(error, ConnectFailed):
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "the connection was reset"
        cause = cause.__context__
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection ended in the middle of an answer"
    return str(error) or type(error).__name__
