"""Client to server for transports whose stream only comes down: ``POST /send``, in order.

HTTP alone promises no order between requests, so at most one is under way. What
piles up meanwhile goes together in the next one, as a JSON array: the slower the
path, the larger the batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import httpx
import msgspec

from rtlab.client.transports._http import HttpClient, explain, hint_of
from rtlab.errors import MessageError, MessageTooLarge, TransportClosed
from rtlab.protocol.codecs import JSON
from rtlab.protocol.messages import Message

__all__ = ["MAX_BATCH_BYTES", "MAX_BATCH_MESSAGES", "MAX_PENDING", "Upstream"]

# Timeouts
ANSWER_TIMEOUT: Final = 10.0

# Limits
MAX_BATCH_MESSAGES: Final = 100
MAX_BATCH_BYTES: Final = 256 * 1024  # one message may be larger, alone
MAX_PENDING: Final = 1000
MAX_ANSWER_BYTES: Final = 1 << 20

_HEADERS: Final = {b"Content-Type": b"application/json"}


#: Answers that say more than "refused": the close code, and whether a new session would help.
_BROKEN: Final[dict[int, tuple[int, bool]]] = {
    401: (1008, False),
    403: (1008, False),
    404: (1006, True),  # the session has expired: a reconnect begins another
    408: (1013, True),
    410: (1006, True),
    425: (1013, True),
    429: (1013, True),
}


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Answer(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


_decode_answer: Final = msgspec.json.Decoder(_Answer).decode


class _Pending(NamedTuple):
    data: bytes
    accepted: asyncio.Future[None]


class Upstream:
    """The way up of one transport.

    Parameters
    ----------
    http : HttpClient
        Its connections.
    url : httpx.URL
        Where to post, the session included.
    broken : callable
        Called once when a request failed: the transport should end, so that the
        connection starts afresh.

    Attributes
    ----------
    error : TransportClosed or None
        What broke it.
    """

    def __init__(self, http: HttpClient, url: httpx.URL, broken: Callable[[], None]) -> None:
        self.error: TransportClosed | None = None
        self._http = http
        self._url = url
        self._broken = broken
        self._batch_bytes = MAX_BATCH_BYTES
        self._batch: list[_Pending] = []  # what the request under way carries
        self._pending: deque[_Pending] = deque()
        self._room = asyncio.Semaphore(MAX_PENDING)  # first come, first served: keeps the order
        self._task: asyncio.Task[None] | None = None

    async def send(self, message: Message, max_bytes: int) -> int:
        """Return when the server has accepted the message.

        When the caller is cancelled, a message that is not on its way yet is withdrawn.

        Parameters
        ----------
        message : Message
            What to send.
        max_bytes : int
            The largest to send.

        Returns
        -------
        int
            Its encoded size in bytes.

        Raises
        ------
        MessageError
            The payload is not in the JSON data model, too large, or refused
            by the server.
        TransportClosed
            A request failed: whether the server handled the message is unknown.
        """
        data = JSON.encode(message, max_bytes)
        self._batch_bytes = min(MAX_BATCH_BYTES, max_bytes)  # the server's limit is one of bodies
        async with self._room:
            if self.error is not None:
                raise self.error
            item = _Pending(data, asyncio.get_running_loop().create_future())
            self._pending.append(item)
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._drain(), name="upstream")
            await item.accepted
        return len(data)

    def abort(self) -> None:
        """End at once; those who wait are told."""
        self._fail(TransportClosed(1006, "the connection ended before the server had accepted the message"))
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """As `abort`, and wait until the task is gone."""
        self.abort()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._next_batch():
                await self._post()
        except TransportClosed as error:
            self._fail(error)
            self._broken()
        finally:
            self._task = None

    def _next_batch(self) -> bool:
        """Take what goes together, in order, without those whose senders gave up."""
        batch, pending = self._batch, self._pending
        batch.clear()
        size = 1  # the brackets, less one comma
        while pending and len(batch) < MAX_BATCH_MESSAGES:
            if not pending[0].accepted.done():
                size += len(pending[0].data) + 1
                if batch and size > self._batch_bytes:
                    break
                batch.append(pending[0])
            pending.popleft()
        return bool(batch)

    async def _post(self) -> None:
        """Send one batch, and tell its senders. Raises `TransportClosed` when the path is broken."""
        frames = [item.data for item in self._batch]
        body = frames[0] if len(frames) == 1 else b"[%b]" % b",".join(frames)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                response = await self._http.start(
                    "POST", self._url, _HEADERS, content=body, read_timeout=ANSWER_TIMEOUT
                )
                answer = await self._http.read(response, MAX_ANSWER_BYTES)
        except TimeoutError as error:
            raise TransportClosed(1006, f"no answer to a POST within {ANSWER_TIMEOUT:g} s") from error
        except (httpx.HTTPError, MessageTooLarge) as error:
            raise TransportClosed(1006, f"a POST failed: {explain(error, self._url)}") from error
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
    """Read an answer: None is yes; raises `TransportClosed` when the session or the path is gone."""
    status = response.status_code
    if status in (200, 202, 204):
        return None
    try:
        said = _decode_answer(body).error
    except msgspec.DecodeError:  # a proxy's page, say
        said = _Error()
    reason = f"a POST was answered with HTTP {status}{f' ({said.message})' if said.message else ''}"
    if status == 413:
        return MessageError(f"{reason}: send less at once", "too_large")
    if 400 <= status < 500 and status not in _BROKEN:
        return MessageError(reason, said.code or "malformed")
    code, reconnect = _BROKEN.get(status, (1013, True))
    raise TransportClosed(code, reason, reconnect=reconnect, retry_after=hint_of(response))
