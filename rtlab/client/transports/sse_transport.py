"""Server-sent events: one endless HTTP response carries the event stream; the client sends by ``POST``.

httpx makes the request. `SseDecoder` reads the stream, rather than httpx-sse, whose reader
works on text in the response's charset (the standard demands UTF-8), and departs from the
standard in the ways that `rtlab.experiments.sse_conformance.scoreboard` shows.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import httpx

from rtlab.client.transports._batch_query import batches_within
from rtlab.client.transports._http_client import HttpClient, ResponseHead, loss, refused, session_url
from rtlab.client.transports._send_by_post import Upstream
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.credentials_interface import Credentials
from rtlab.client.transports.sse_decoder import SseDecoder, SseEvent
from rtlab.client.transports.transport_interface import FOREIGN_AFTER, DeliverDirectly
from rtlab.errors import ConnectFailed, MessageError, MessageTooLarge, TransportClosed
from rtlab.protocol.http_headers import PROTOCOL_FIELD
from rtlab.protocol.http_status_and_retry_after import may_retry
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.limits import MAX_MESSAGE_BYTES, SLACK_BYTES
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume, session_of, session_query
from rtlab.protocol.transport_paths import ENDPOINTS
from rtlab.protocol.urls import Origin, Url, parse_url

__all__ = ["SILENCE_TIMEOUT", "SseTransport"]

#: Seconds without a byte after which a stream counts as lost. The heartbeat comments of an
#: rtlab server come far more often.
SILENCE_TIMEOUT: Final = 60.0


class SseTransport:
    """One event stream, and the POSTs of its client.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``; without a path, ``/sse`` is used.
    plain : bool
        Whether the server is foreign (not rtlab's): the URL is used as it is, `open` does
        not wait for a ``welcome``, and nothing can be sent. A server whose first event is
        no ``welcome`` is treated in the same way. Of one that is silent at first, `open` waits
        for `FOREIGN_AFTER` without this option; but an rtlab server, which marks its answer,
        is never taken for a foreign one, because a proxy may hold its events back.
    strict : bool
        Whether every status but 200 is final, as in a browser. False retries after
        statuses that may be temporary (see `may_retry`).
    headers : mapping, optional
        Extra headers of every request to the URL's origin.
    auth : Credentials, optional
        Proves to the server which user connects, for example `Tokens`.
    ssl : ssl.SSLContext, optional
        The TLS settings for ``https://``; None uses the usual certificate authorities.
    silence_timeout : float
        Seconds without a byte after which the stream counts as lost.
    max_message_bytes : int
        The largest message to accept and to send, in bytes.
    cookies : CookieStore, optional
        The cookies, shared with the connection's other transports.
    previous : SseTransport, optional
        The connection's stream before this one. Its reconnection time is taken over, and
        from a foreign server its last event id.
    clock : callable
        Returns monotonic seconds, for `ping`.

    Attributes
    ----------
    plain : bool
        Whether the server is known to be foreign.
    retry : float or None
        The reconnection time of the last ``retry:`` field, in seconds; None before the first.
    """

    name = "sse"
    confirms = False

    def __init__(
        self,
        url: str,
        *,
        plain: bool = False,
        strict: bool = False,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        ssl: ssl_module.SSLContext | None = None,
        silence_timeout: float = SILENCE_TIMEOUT,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        cookies: CookieStore | None = None,
        previous: SseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cursor: str | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.server_origin: Origin | None = None
        self.max_message_bytes = max_message_bytes
        self.retry = previous.retry if previous is not None else None
        self._limit = max_message_bytes + SLACK_BYTES
        self._url = url
        self._verbatim = plain
        self.plain = plain or (previous is not None and previous.plain)
        # A foreign stream resumes after the last event received, as in a browser. An rtlab stream resumes
        # after the last message handled, which the connection passes to `open`.
        self._last_id = previous.last_event_id if previous is not None and self.plain else None
        self._strict = strict
        self._silence_timeout = silence_timeout
        self._clock = clock
        self._http = HttpClient(headers, ssl, cookies, auth)
        self._decoder = SseDecoder(self._last_id or "")
        self._events: deque[SseEvent] = deque()
        self._chunks: AsyncIterator[bytes] | None = None
        self._upstream: Upstream | None = None
        self._send_url: Url | None = None  # until the first event has shown whether the server is rtlab's
        self._reading: asyncio.Task[None] | None = None  # the read that `open` began and did not finish
        self._health_url: Url | None = None
        self._closing = False

    @property
    def last_event_id(self) -> str:
        """The id of the last event returned, or a later id that came without data."""
        return (self.cursor or "") if self._events else self._decoder.last_event_id

    @property
    def heard(self) -> float:
        """When a byte last arrived, in `time.monotonic` seconds."""
        return self._http.heard

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that the server has not accepted yet."""
        return self._upstream.buffered_bytes if self._upstream is not None else 0

    async def open(self, resume: Resume) -> Message | None:
        """Request the stream; return the ``welcome``, or None from a foreign server.

        Parameters
        ----------
        resume : Resume
            The session to continue; its cursor is sent as ``Last-Event-ID``.

        Raises
        ------
        ConnectFailed
            The message names the next step, and ``__cause__`` is the cause.
        """
        last_id = self._last_id if self._last_id is not None else resume.cursor or ""
        self._decoder = SseDecoder(
            last_id, max_event_bytes=self._limit, max_line_bytes=self._limit + SLACK_BYTES
        )
        self.cursor = resume.cursor
        headers: dict[str, str | bytes] = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        # HTTP strips spaces and tabs at both ends of a field. h11 refuses to send VT and FF, and its error
        # would end the connection for good, so an id with one of them is left out.
        if last_id and not {"\v", "\f"} & set(last_id):
            headers["Last-Event-ID"] = last_id.encode().strip(b" \t")
        try:
            given = parse_url(self._url, "http://host:port/sse").over("http")
            url = given if self._verbatim else given.at(f"/{ENDPOINTS['sse']}")
            asked = url if self.plain else batches_within(url, self._limit).adding(**resume.query())
            answer = await self._http.start("GET", asked, headers, read_timeout=self._silence_timeout)
            await self._check(answer)
            self._chunks = answer.response.aiter_bytes()
            there = session_url(url, answer.url)
            self.server_origin = there.origin
            self._health_url = there.beside("healthz")
            if self.plain:
                return None
            self._send_url = there.beside("send")
            marked = PROTOCOL_FIELD in answer.response.headers
            try:
                async with asyncio.timeout(None if marked else FOREIGN_AFTER):
                    return await self._recognized()
            except TimeoutError:
                return None  # its events come later, if ever
            except TransportClosed as error:
                raise ConnectFailed(
                    f"the event stream ended before its first event ({error.reason})",
                    retry_after=error.reconnection_time,
                ) from error
        except BaseException:
            self.abort()
            raise

    async def _check(self, answer: ResponseHead) -> None:
        response = answer.response
        if response.status_code != 200:
            raise await refused(answer, strict=self._strict)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise ConnectFailed(
                f"expected content type text/event-stream, got {kind[:80] or 'none'}: "
                "is this the stream's URL?",
                retryable=not self._strict and may_retry(200, kind),
                status=200,
            )

    async def _recognized(self) -> Message | None:
        """Wait for the first event, which shows whether the server is rtlab's; return the ``welcome``.

        The wait can be cancelled and begun again.
        """
        while not self._events:
            if self._reading is None:
                self._reading = asyncio.create_task(self._fill())
                self._reading.add_done_callback(_retrieved)
            await asyncio.wait((self._reading,))
            reading, self._reading = self._reading, None
            if reading.cancelled():
                raise self._closed("the stream was dropped")
            reading.result()
        send_url, self._send_url = self._send_url, None
        try:
            welcome = JSON.decode(self._events[0].data, self._limit)
            session = session_of(welcome)
        except MessageError:
            welcome = session = None
        if send_url is None or welcome is None or session is None:
            self.plain = True
            return None
        self._take()
        self._upstream = Upstream(self._http, send_url.adding(**session_query(welcome)), self._http.abort)
        return welcome

    async def receive(self, take: DeliverDirectly | None = None) -> Message:
        """Return the next message.

        From a foreign server it is ``Message(event, data)``; the payload is the string
        that would be ``event.data`` in a browser.

        Raises
        ------
        TransportClosed
            The stream ended. The error has the reconnection time that the stream set, if any.
        MessageError
            An event of an rtlab server is not a message; later events can still be received.
        """
        if self._send_url is not None:
            welcome = await self._recognized()
            if welcome is not None:
                return welcome
        while True:
            while self._events:
                event = self._take()
                if self.plain:
                    return Message(event.type, event.data)
                return JSON.decode(event.data, self._limit)
            await self._fill()

    def _take(self) -> SseEvent:
        event = self._events.popleft()
        self.cursor = event.id
        self.bytes_in += len(event.data) if event.data.isascii() else len(event.data.encode())
        return event

    async def _fill(self) -> None:
        """Read the next bytes, which may complete no event, one, or several."""
        assert self._chunks is not None
        try:
            chunk = await anext(self._chunks)
            self._events.extend(self._decoder.feed(chunk))
        except StopAsyncIteration:
            raise self._closed("the server ended the stream") from None
        except MessageTooLarge as error:
            self.abort()
            raise TransportClosed(1009, str(error)) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._closed(loss(error)) from error

    def _closed(self, reason: str) -> TransportClosed:
        if self._closing:
            return TransportClosed(1000, "closed by its owner", clean=True)
        if self._upstream is not None and self._upstream.error is not None:
            return self._upstream.error
        self.retry = self._decoder.retry if self._decoder.retry is not None else self.retry
        return TransportClosed(1006, reason, reconnection_time=self.retry)

    async def send(self, message: Message) -> None:
        """Post one message; return when the server has accepted it.

        Raises
        ------
        MessageError
            The payload is not in the JSON data model or too large, the server refused
            it, or the server is foreign. With a `retry_after`, the server has not shown yet which it is.
        TransportClosed
            The POST failed: whether the message arrived is unknown.
        """
        size_bytes = await self._way_up().send(message, self.max_message_bytes)
        self.bytes_out += size_bytes

    async def ping(self) -> float:
        """Return the seconds of one request to ``/healthz``, next to the stream."""
        assert self._health_url is not None
        return await self._http.round_trip(self._health_url, self._clock)

    def _way_up(self) -> Upstream:
        if self._upstream is None:
            if self._send_url is not None:
                text = "expected a server of rtlab, got a silent event stream: its welcome has not come"
                raise MessageError(text, "no_welcome_yet", retry_after=FOREIGN_AFTER)
            raise MessageError(
                "expected a server of rtlab, got another's event stream: it only comes down; "
                "post to that server in its own way",
                "one_way",
            )
        return self._upstream

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connections; an event stream cannot transmit the code or the reason."""
        self._closing = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        if self._upstream is not None:
            await self._upstream.close()
        await self._http.close()

    def abort(self) -> None:
        """Drop the sockets."""
        if self._reading is not None:
            self._reading.cancel()
        if self._upstream is not None:
            self._upstream.abort()
        self._http.abort()


def _retrieved(task: asyncio.Task[None]) -> None:
    """Mark a task's exception as retrieved: if no `receive` follows, nobody else needs it."""
    if not task.cancelled():
        task.exception()
