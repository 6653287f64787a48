"""Faults that only a middlebox which understands HTTP/1.1 can make.

Over TLS they have no effect: the proxy passes the ciphertext unchanged, as does every
real middlebox that does not have a certificate for the server. Bytes that turn out not
to be HTTP pass unchanged too.
"""

from __future__ import annotations

from typing import ClassVar

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics.toxic_registry_and_base_classes import (
    HoldingStage,
    Number,
    Toxic,
    ToxicStage,
    ToxicT,
    works_as,
)
from rtlab.protocol.http1_message_parser import Body, Head, NotHttp, parse_head

__all__ = ["BufferResponse", "DuplicateRequest", "HangUpgrade", "HttpStatus", "StripUpgrade"]

#: Longer requests are not duplicated.
MAX_COPY_BYTES = 4 * 1024 * 1024

REQUEST_STREAM = ("upstream",)
RESPONSE_STREAM = ("downstream",)


class RequestStage(ToxicStage[ToxicT]):
    """Parses the client's requests; `on_head` decides what happens to each."""

    _buffer = b""
    _body: Body | None = None
    _raw = False  # not HTTP, or no longer: everything passes
    _deaf = False  # a request was swallowed: nothing passes any more

    def on_head(self, head: Head, raw: bytes) -> bytes | None:
        """Return the bytes to send in place of this head; ``None`` swallows the rest of the stream."""
        raise NotImplementedError

    def on_body(self, data: bytes, *, done: bool) -> None:
        """Called after a piece of a request's body was passed on."""

    def start(self) -> None:
        self._raw = self.pipe.opposite.upgraded

    def feed(self, data: bytes) -> None:
        while data and not self._deaf and not self.pipe.ended:
            if self._raw:
                self.next.feed(data)
                return
            try:
                data = self._step(data)
            except NotHttp:
                self._raw = True
                data, self._buffer, self.held = self._buffer + data, b"", 0

    def _step(self, data: bytes) -> bytes:
        """Handle a head or a piece of a body; returns the bytes after it."""
        if self._body is not None:
            _, rest = self._body.feed(data)
            done = self._body.done
            if done:
                self._body = None
            piece = data[: len(data) - len(rest)]
            self.next.feed(piece)
            self.on_body(piece, done=done)
            return rest
        whole = self._buffer + data
        head = parse_head(whole)
        self._buffer = b"" if head else whole
        self.held = len(self._buffer)
        if head is None:
            return b""
        raw, rest = whole[: head.size], whole[head.size :]
        instead = self.on_head(head, raw)
        if instead is None:
            self._deaf = True
            return b""
        body = Body(head)
        self._body = None if body.done else body
        if instead is raw and head.get(b"upgrade"):
            self._raw = True  # after an upgrade the stream is no longer HTTP
        self.next.feed(instead)
        self.on_body(b"", done=body.done)
        return rest

    def eof(self) -> None:
        self.stop()
        self.next.eof()

    def stop(self) -> None:
        rest, self._buffer, self.held = self._buffer, b"", 0
        if rest:
            self.next.feed(rest)


class StripUpgrade(Toxic):
    """Remove the hop-by-hop fields of a WebSocket handshake.

    Imitates a proxy which speaks only HTTP/1.0 upstream (nginx without
    ``proxy_set_header Upgrade``): the server sees a plain GET and answers 400 or
    426, never 101. It cannot affect connections that are upgraded already.
    """

    streams: ClassVar[tuple[str, ...]] = REQUEST_STREAM


@works_as("strip_upgrade", StripUpgrade)
class StripUpgradeStage(RequestStage[StripUpgrade]):
    def on_head(self, head: Head, raw: bytes) -> bytes:
        if not head.get(b"upgrade"):
            return raw
        self.record_effect("upgrade removed", head.size)
        self.entry.used += 1
        stripped = head.without(b"upgrade", b"connection")
        others = [w for w in head.tokens(b"connection") if w != b"upgrade"]
        stripped.fields.append((b"Connection", b", ".join(others) or b"close"))
        return stripped.encode()


class HangUpgrade(Toxic):
    """Swallow WebSocket handshakes: the connection stays open, and no answer comes.

    Imitates a middlebox that waits for a request body. Only a timeout in the client
    helps: that the `WebSocket` constructor returned proves nothing. It cannot affect a
    WebSocket that is open already.
    """

    streams: ClassVar[tuple[str, ...]] = REQUEST_STREAM


@works_as("hang_upgrade", HangUpgrade)
class HangUpgradeStage(RequestStage[HangUpgrade]):
    def on_head(self, head: Head, raw: bytes) -> bytes | None:
        if not head.get(b"upgrade"):
            return raw
        self.record_effect("upgrade swallowed", head.size)
        self.entry.used += 1
        return None  # the connection stays open and silent


class HttpStatus(Toxic):
    """Answer requests with `status`, `times` times (0: always), then let them pass.

    `retry_after` seconds are announced in Retry-After; `path` limits the toxic to
    requests whose target begins with it. The upstream never sees the request.
    Imitates an overloaded load balancer. Requests on a connection that is already open
    are answered in place of the server; a response in progress may be cut off. It
    cannot imitate the load: the answer comes at once.
    """

    streams: ClassVar[tuple[str, ...]] = REQUEST_STREAM
    status: int = 503
    times: int = 0
    retry_after: Number | None = None
    path: str = ""

    def check(self) -> None:
        super().check()
        if not 300 <= self.status <= 599:
            raise bad_request(f"status must be from 300 to 599, got {self.status}")

    def response(self) -> bytes:
        body = f"{self.status} from the fault proxy\n".encode()
        retry = "" if self.retry_after is None else f"Retry-After: {self.retry_after}\r\n"
        return (
            f"HTTP/1.1 {self.status} Fault injected\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
        ).encode() + body


@works_as("http_status", HttpStatus)
class HttpStatusStage(RequestStage[HttpStatus]):
    def on_head(self, head: Head, raw: bytes) -> bytes | None:
        attributes = self.attributes
        over = bool(attributes.times) and self.entry.used >= attributes.times
        if over or not head.path.startswith(attributes.path.encode()):
            return raw
        self.entry.used += 1
        self.record_effect(f"answers {attributes.status}", head.size)
        back = self.pipe.opposite.first  # through the toxics of the downstream direction
        back.feed(attributes.response())
        back.eof()
        self.next.eof()
        return None


class DuplicateRequest(Toxic):
    """Send each request with this `method` a second time, on a separate connection.

    The response to the copy is discarded. `path` limits the toxic to requests whose target
    begins with it. Imitates a proxy or an HTTP library that retries a request without having
    seen the response. It cannot imitate a late copy: this one follows at once. A request
    that is in progress when the toxic is added is not duplicated.
    """

    streams: ClassVar[tuple[str, ...]] = REQUEST_STREAM
    method: str = "POST"
    path: str = ""


@works_as("duplicate_request", DuplicateRequest)
class DuplicateRequestStage(RequestStage[DuplicateRequest]):
    _copy: bytearray | None = None

    def on_head(self, head: Head, raw: bytes) -> bytes:
        attributes = self.attributes
        wanted = head.method == attributes.method.encode() and head.path.startswith(attributes.path.encode())
        self._copy = bytearray(raw) if wanted else None
        return raw

    def on_body(self, data: bytes, *, done: bool) -> None:
        if self._copy is None:
            return
        self._copy += data
        if len(self._copy) > MAX_COPY_BYTES:
            self._copy = None
        elif done:
            copy, self._copy = bytes(self._copy), None
            self.entry.used += 1
            self.record_effect("sends a request twice", len(copy))
            self.pipe.send_copy(copy)


class BufferResponse(Toxic):
    """Hold a response's body until it ends, `bytes` bytes are held, or `timeout` ms have passed.

    Imitates a proxy that buffers (nginx with ``proxy_buffering on``, an antivirus
    gateway): an event stream opens and stays silent. With `hold_head` the response's head
    is held too. A WebSocket passes, since its response has status 101. At most 16 MiB are
    held. It cannot imitate a cache: each response is fetched anew.
    """

    streams: ClassVar[tuple[str, ...]] = RESPONSE_STREAM
    bytes: int = 0
    timeout: Number = 0
    hold_head: bool = False


@works_as("buffer_response", BufferResponse)
class BufferResponseStage(HoldingStage[BufferResponse]):
    limit = 16 * 1024 * 1024

    _head = b""
    _body: Body | None = None
    _raw = False

    def start(self) -> None:
        self._raw = self.pipe.upgraded
        if self.pipe.first_bytes and not self._raw:
            try:  # a response may be in progress: the next bytes belong to its body
                self._body = Body.under_way(self.pipe.first_bytes, self.pipe.bytes)
            except NotHttp:
                self._raw = True

    def feed(self, data: bytes) -> None:
        while data:
            if self._raw:
                self.next.feed(data)
                return
            try:
                data = self._step(data)
            except NotHttp:
                self._raw = True
                data, self._head = self._head + data, b""
                self._flush()

    def _step(self, data: bytes) -> bytes:
        if self._body is None:
            whole = self._head + data
            head = parse_head(whole, response=True)
            self._head = b"" if head else whole
            if head is None:
                return b""
            self._raw = head.status == 101
            asked_head = self.pipe.opposite.first_bytes.startswith(b"HEAD ")
            body = Body(head, no_body=asked_head)
            self._body = None if body.done else body
            if self.attributes.hold_head and self._body is not None:
                self._hold(whole[: head.size])
            else:
                self.next.feed(whole[: head.size])
            return whole[head.size :]
        _, rest = self._body.feed(data)
        self._hold(data[: len(data) - len(rest)])
        if self._body.done:
            self._body = None
            self._flush()
        return rest

    def _hold(self, data: bytes) -> None:
        attributes = self.attributes
        if not data:
            return
        self.hold(data)
        if (attributes.bytes and self.held >= attributes.bytes) or self.held >= self.limit:
            self._flush()
        elif attributes.timeout and self._timer is None:
            self.after(attributes.timeout / 1000, self._flush)

    def _flush(self) -> None:
        self.cancel()
        while self.queue:
            self.release()

    def eof(self) -> None:
        self.stop()
        self.next.eof()

    def stop(self) -> None:
        super().stop()
        rest, self._head = self._head, b""
        if rest:
            self.next.feed(rest)
