"""Long polling (RFC 6202 §2.1): the server answers a GET when it has messages; the client sends by POST."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import httpx
import msgspec

from rtlab.client.transports._batch_query import batches_within
from rtlab.client.transports._http_client import HttpClient, loss, refused, session_url
from rtlab.client.transports._send_by_post import Upstream
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.credentials_interface import Credentials
from rtlab.client.transports.transport_interface import DeliverDirectly
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.http_status_and_retry_after import close_code_for, is_web_page
from rtlab.protocol.json_and_messagepack_codecs import JSON, parse_json
from rtlab.protocol.limits import MAX_MESSAGE_BYTES, SLACK_BYTES
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume, session_of, session_query
from rtlab.protocol.transport_paths import ENDPOINTS
from rtlab.protocol.urls import Origin, Url, parse_url

__all__ = ["POLL_TIMEOUT", "LongPollTransport"]

#: Seconds to wait for an answer: the server answers within 25 s, and the rest is a margin for the network.
POLL_TIMEOUT: Final = 35.0
BODY_TIMEOUT: Final = 30.0

#: The least seconds between the start of a poll with an empty answer and the next poll, so that a server
#: that answers at once is not polled in a busy loop.
MIN_EMPTY: Final = 0.1

# Limits
MAX_POLL_BYTES: Final = 16 << 20

#: A cursor of more characters travels in a header: proxies allow about 8 KB for a request line, and in a
#: URL each ``%`` of the cursor is encoded again.
MAX_CURSOR_IN_URL: Final = 1000

_HEADERS: Final = {"Accept": "application/json", "Cache-Control": "no-store"}


class _Answer(msgspec.Struct):
    messages: list[msgspec.Raw]
    cursor: str


class LongPollTransport:
    """One client's polls; the next begins when all messages of the last answer were received.

    Nothing is lost between two polls: the server keeps the messages that it sent until the
    cursor of the next poll confirms them.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``; without a path, ``/poll`` is used.
    headers : mapping, optional
        Extra headers of every request to the URL's origin.
    auth : Credentials, optional
        Proves to the server which user connects, for example `Tokens`.
    ssl : ssl.SSLContext, optional
        The TLS settings for ``https://``; None uses the usual certificate authorities.
    poll_timeout : float
        Seconds to wait for an answer; must exceed the server's limit for a poll.
    max_message_bytes : int
        The largest message to accept and to send, in bytes.
    cookies : CookieStore, optional
        The cookies, shared with the connection's other transports.
    clock : callable
        Returns monotonic seconds.
    """

    name = "longpoll"
    confirms = True

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        ssl: ssl_module.SSLContext | None = None,
        poll_timeout: float = POLL_TIMEOUT,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        cookies: CookieStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Always None: the cursor of an answer points behind its last message, so it cannot resume after an
        # earlier one. The connection counts the messages of an answer one by one instead.
        self.cursor: str | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.server_origin: Origin | None = None
        self.max_message_bytes = max_message_bytes
        self._limit = max_message_bytes + SLACK_BYTES
        self._url = url
        self._poll_url: Url | None = None
        self._health_url: Url | None = None
        self._poll_timeout = poll_timeout
        self._clock = clock
        self._http = HttpClient(headers, ssl, cookies, auth)
        self._waiting: deque[msgspec.Raw] = deque()
        self._upstream: Upstream | None = None
        self._cursor = ""
        self._asked = 0.0
        self._closing = False

    @property
    def heard(self) -> float:
        """When a byte last arrived or the present poll began, in `time.monotonic` seconds.

        The start of a poll counts because the server can send nothing before it.
        """
        return max(self._http.heard, self._asked)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that the server has not accepted yet."""
        return self._upstream.buffered_bytes if self._upstream is not None else 0

    async def open(self, resume: Resume) -> Message | None:
        """Send the first poll, which the server answers at once; return the ``welcome``.

        Parameters
        ----------
        resume : Resume
            The session to continue, after its message `seq`.

        Raises
        ------
        ConnectFailed
            The message names the next step, and ``__cause__`` is the cause.
        """
        try:
            given = parse_url(self._url, "http://host:port/poll").over("http").at(f"/{ENDPOINTS['longpoll']}")
            base = batches_within(given, self._limit)
            try:
                answered = await self._poll(base.adding(**resume.query(), welcome=1))
                welcome = JSON.decode(self._take()) if self._waiting else None
            except (httpx.HTTPError, TimeoutError) as error:
                raise ConnectFailed(f"the first poll failed: {loss(error)}") from error
            except MessageError as error:
                raise ConnectFailed(
                    f"the first poll's answer cannot be read: {error}", retryable=False
                ) from error
            session = session_of(welcome) if welcome is not None else None
            if welcome is None or session is None:
                raise ConnectFailed(
                    "expected a welcome, got something else: is this a server of rtlab?", retryable=False
                )
        except BaseException:
            self.abort()
            raise
        there = session_url(base, answered)
        self.server_origin = there.origin
        whose = session_query(welcome)
        self._poll_url = there.adding(**whose)
        self._health_url = there.beside("healthz")
        self._upstream = Upstream(self._http, there.beside("send").adding(**whose), self._http.abort)
        return welcome

    async def _poll(self, url: Url) -> Url:
        """Send one poll, whose answer may be empty; return the URL that answered."""
        self._asked = start = self._clock()
        headers = _HEADERS
        if len(self._cursor) > MAX_CURSOR_IN_URL:
            headers = {**_HEADERS, "Last-Event-ID": self._cursor}
        elif self._cursor:
            url = url.adding(cursor=self._cursor)
        async with asyncio.timeout(self._poll_timeout + BODY_TIMEOUT):
            answer = await self._http.start("GET", url, headers, read_timeout=self._poll_timeout)
            response = answer.response
            if response.status_code not in (200, 204):
                raise await refused(answer)
            body = await self._http.read(response, MAX_POLL_BYTES)
        if response.status_code == 200:
            self._accept(body, response.headers.get("content-type", ""))
        if not self._waiting:
            await asyncio.sleep(max(0.0, start + MIN_EMPTY - self._clock()))
        return answer.url

    def _accept(self, body: bytes, content_type: str) -> None:
        try:
            answer = parse_json(body, _Answer)
            if not answer.cursor.isascii() or not answer.cursor.isprintable():
                raise MessageError("a cursor is printable ASCII")
        except MessageError as error:
            if is_web_page(content_type):
                raise ConnectFailed(
                    "a poll was answered with a web page: something on the way answered, not the server",
                    status=200,
                ) from None
            raise MessageError(f"expected messages and a cursor: {error}") from error
        self._waiting.extend(answer.messages)
        self._cursor = answer.cursor

    def _take(self) -> bytes:
        data = bytes(self._waiting.popleft())
        self.bytes_in += len(data)
        return data

    async def receive(self, take: DeliverDirectly | None = None) -> Message:
        """Return the next message, after as many polls as necessary.

        Raises
        ------
        TransportClosed
            A poll failed, or the session has expired. The error has the server's
            ``Retry-After``, if any.
        MessageError
            A message cannot be decoded; later messages can still be received.
        """
        assert self._poll_url is not None
        while not self._waiting:
            try:
                await self._poll(self._poll_url)
            except (httpx.HTTPError, httpx.StreamError, TimeoutError, ConnectFailed, MessageError) as error:
                raise self._closed(error) from error
        message = JSON.decode(self._take(), self._limit)
        if message.type == "welcome":
            raise TransportClosed(1006, "the session has expired: a reconnect begins another")
        return message

    def _closed(self, error: Exception) -> TransportClosed:
        if self._closing:
            return TransportClosed(1000, "closed by its owner", clean=True)
        if self._upstream is not None and self._upstream.error is not None:
            return self._upstream.error
        if isinstance(error, ConnectFailed) and error.status is not None:
            code, again = (
                close_code_for(error.status, code=error.code) if not error.retryable else (1013, True)
            )
            return TransportClosed(code, str(error), reconnect=again, retry_after=error.retry_after)
        if isinstance(error, ConnectFailed):
            return TransportClosed(1006, f"a poll failed: {error}", reconnect=error.retryable)
        if isinstance(error, MessageError):
            return TransportClosed(1009 if error.code == "too_large" else 1002, str(error))
        return TransportClosed(1006, f"a poll failed: {loss(error)}")

    async def send(self, message: Message) -> None:
        """Post one message; return when the server has accepted it.

        Raises
        ------
        MessageError
            The payload is not in the JSON data model or too large, or the server refused it.
        TransportClosed
            The POST failed: whether the message arrived is unknown.
        """
        assert self._upstream is not None
        size_bytes = await self._upstream.send(message, self.max_message_bytes)
        self.bytes_out += size_bytes

    async def ping(self) -> float:
        """Return the seconds of one request to ``/healthz``, next to the waiting poll."""
        assert self._health_url is not None
        return await self._http.round_trip(self._health_url, self._clock)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connections; long polling cannot transmit the code or the reason."""
        self._closing = True
        if self._upstream is not None:
            await self._upstream.close()
        await self._http.close()

    def abort(self) -> None:
        """Drop the sockets, and with them the waiting poll."""
        if self._upstream is not None:
            self._upstream.abort()
        self._http.abort()
