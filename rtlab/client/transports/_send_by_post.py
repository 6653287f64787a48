"""Sends a client's messages by ``POST /send``, in order, for transports that only receive (SSE, long poll).

HTTP does not keep the order of separate requests, so at most one is in flight. Messages
that queue up meanwhile go together in the next request, as a JSON array: the slower the
path, the larger the batches. Each request has a number, so that the server handles it only
once even if a proxy sends it twice.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import httpx

from rtlab.client.transports._http_client import HttpClient, hint_of, loss
from rtlab.errors import ConnectFailed, MessageError, MessageTooLarge, TransportClosed
from rtlab.protocol.http_status_and_retry_after import (
    UNFINISHED,
    close_code_for,
    code_in,
    is_web_page,
    reason_in,
)
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message
from rtlab.protocol.urls import Url

__all__ = ["MAX_BATCH_BYTES", "MAX_BATCH_MESSAGES", "MAX_PENDING", "Upstream"]

# Timeouts
ANSWER_TIMEOUT: Final = 10.0

# Limits
MAX_BATCH_MESSAGES: Final = 100
MAX_BATCH_BYTES: Final = 256 * 1024  # a larger message goes in a request of its own
MAX_PENDING: Final = 1000
MAX_ANSWER_BYTES: Final = 1 << 20

_HEADERS: Final = {"Content-Type": "application/json"}

#: Statuses that end the session. Any other 4xx refuses this one body only; the next may be accepted.
_ENDINGS: Final = frozenset({401, 403, 404, 409, 410}) | UNFINISHED


class _Pending(NamedTuple):
    data: bytes
    accepted: asyncio.Future[None]


class Upstream:
    """Sends the messages of one transport to the server.

    Parameters
    ----------
    http : HttpClient
        The transport's HTTP connections.
    url : Url
        The URL to post to, with the session in its query.
    broken : callable
        Called once, when a request has failed; it must end the transport, so that the
        connection reconnects.

    Attributes
    ----------
    error : TransportClosed or None
        Why no more messages can be sent; None while they can.
    """

    def __init__(self, http: HttpClient, url: Url, broken: Callable[[], None]) -> None:
        self.error: TransportClosed | None = None
        self._http = http
        self._url = url
        self._broken = broken
        self._batch_bytes = MAX_BATCH_BYTES
        self._batch: list[_Pending] = []  # the messages of the request in flight
        self._pending: deque[_Pending] = deque()
        # The numbers must grow during a whole session, across its transports: they start at the clock.
        self._numbers = itertools.count(time.monotonic_ns())
        self._slots = asyncio.Semaphore(MAX_PENDING)  # it is fair, so callers stay in order
        self._task: asyncio.Task[None] | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that the server has not accepted yet."""
        return sum(len(item.data) for item in (*self._batch, *self._pending))

    async def send(self, message: Message, max_bytes: int) -> int:
        """Return when the server has accepted the message.

        When the caller is cancelled, a message that is not in flight yet is withdrawn.

        Parameters
        ----------
        message : Message
            The message to send.
        max_bytes : int
            The largest message, and the largest request body, in bytes.

        Returns
        -------
        int
            The message's encoded size in bytes.

        Raises
        ------
        MessageError
            The payload is not in the JSON data model, too large, or refused
            by the server.
        TransportClosed
            A request failed: whether the server handled the message is unknown.
        """
        data = JSON.encode(message, max_bytes)
        self._batch_bytes = min(MAX_BATCH_BYTES, max_bytes)  # the server limits whole bodies
        async with self._slots:
            if self.error is not None:
                raise self.error
            item = _Pending(data, asyncio.get_running_loop().create_future())
            self._pending.append(item)
            if self._task is None:
                self._begin()
            await item.accepted
        return len(data)

    def abort(self) -> None:
        """End at once; waiting callers of `send` raise `TransportClosed`."""
        self._fail(TransportClosed(1006, "the connection ended before the server had accepted the message"))
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """End like `abort`, and wait until the task is gone."""
        self.abort()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._drain(), name="upstream")
        self._task.add_done_callback(self._drained)

    async def _drain(self) -> None:
        while self._next_batch():
            await self._post()

    def _drained(self, task: asyncio.Task[None]) -> None:
        """Begin again, or wake the waiting callers: whatever ended the task, a bug included.

        It is a callback because a task that is cancelled before its first step runs no code of its own.
        """
        self._task = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            if self._pending:
                self._begin()
        elif self.error is None:  # otherwise `abort` has woken the waiting callers already
            known = isinstance(error, TransportClosed)
            self._fail(error if known else TransportClosed(1006, f"a POST failed: {error!r:.200}"))
            self._broken()

    def _next_batch(self) -> bool:
        """Collect the next request's messages, in order, without those whose callers were cancelled."""
        batch, pending = self._batch, self._pending
        batch.clear()
        size = 1  # two brackets, and one comma fewer than messages
        while pending and len(batch) < MAX_BATCH_MESSAGES:
            if not pending[0].accepted.done():
                size += len(pending[0].data) + 1
                if batch and size > self._batch_bytes:
                    break
                batch.append(pending[0])
            pending.popleft()
        return bool(batch)

    async def _post(self) -> None:
        """Post one batch, and wake its callers. Raises `TransportClosed` if the request fails."""
        frames = [item.data for item in self._batch]
        body = frames[0] if len(frames) == 1 else b"[%b]" % b",".join(frames)
        headers = {**_HEADERS, "Idempotency-Key": str(next(self._numbers))}
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                response, _ = await self._http.start(
                    "POST", self._url, headers, content=body, read_timeout=ANSWER_TIMEOUT, follow=False
                )
                answer = await self._http.read(response, MAX_ANSWER_BYTES)
        except TimeoutError as error:
            raise TransportClosed(1006, f"no answer to a POST within {ANSWER_TIMEOUT:g} s") from error
        except (httpx.HTTPError, MessageTooLarge, ConnectFailed) as error:
            again = error.retryable if isinstance(error, ConnectFailed) else None
            raise TransportClosed(1006, f"a POST failed: {loss(error)}", reconnect=again) from error
        refusal = _refusal(response, answer)
        for item in self._batch:
            if item.accepted.done():
                continue
            if refusal is None:
                item.accepted.set_result(None)
            else:
                item.accepted.set_exception(refusal)
        self._batch.clear()

    def _fail(self, error: TransportClosed) -> None:
        self.error = self.error or error
        for item in (*self._batch, *self._pending):
            if not item.accepted.done():
                item.accepted.set_exception(error)
        self._batch.clear()
        self._pending.clear()


def _refusal(response: httpx.Response, body: bytes) -> MessageError | None:
    """Judge an answer: None if it accepts the body; raise `TransportClosed` if the session is over."""
    status, kind = response.status_code, response.headers.get("content-type", "")
    portal = status == 200 and is_web_page(kind)
    if status in (200, 202, 204) and not portal:
        return None
    text = reason_in(body, kind)
    reason = f"a POST was answered with HTTP {status}{f' ({text})' if text else ''}"
    if status == 413:
        return MessageError(f"{reason}: send less at once", "too_large")
    if 400 <= status < 500 and status not in _ENDINGS:
        return MessageError(reason, code_in(body) or "malformed")
    if portal:
        reason = f"{reason} and a web page: something on the way answered, not the server"
    # A redirected POST is not followed: the reconnect follows the redirect, and finds the new server.
    code, reconnect = (1013, True) if 300 <= status < 400 else close_code_for(status, kind, code_in(body))
    raise TransportClosed(code, reason, reconnect=reconnect, retry_after=hint_of(response))
