"""Faults that act on whole messages.

They parse WebSocket frames and server-sent events, but neither TLS nor the bodies of
long polls. On a connection that is already open, parsing begins at the next read that
looks like the beginning of a frame: servers write whole frames, so that is nearly
always the next read. The type of a compressed message cannot be read.
"""

from __future__ import annotations

from typing import Literal

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics.message_boundary_scanner import EventScanner, FrameScanner, NotFrames, StreamUnit
from rtlab.faults.toxics.toxic_registry_and_base_classes import Number, Toxic, ToxicStage, ToxicT, works_as
from rtlab.protocol.http1_message_parser import Body, Head, NotHttp, parse_head

__all__ = ["DropMessage", "KillMidframe"]

Mode = Literal["head", "body", "frames", "events", "raw"]


class MessageStage(ToxicStage[ToxicT]):
    """Splits the stream into messages; `on_unit` decides what happens to each."""

    _mode: Mode = "head"
    _buffer = b""
    _body: Body | None = None
    _dying = False  # a message was cut: nothing may follow on this stream
    _frames: FrameScanner
    _events: EventScanner

    def on_unit(self, unit: StreamUnit, raw: bytes) -> None:
        """Handle a message; `raw` is its bytes on the wire, including the framing of a chunk."""
        raise NotImplementedError

    def start(self) -> None:
        self._upstream = self.pipe.direction == "upstream"
        self._frames = FrameScanner(masked=self._upstream)
        self._events = EventScanner()
        if self._is_upgraded():
            self._mode = "frames"
        elif self._upstream:
            self._mode = "raw"  # until the server has agreed to an upgrade
        elif self.pipe.first_bytes:
            try:
                head = parse_head(self.pipe.first_bytes, response=True)
                self._body = Body.under_way(self.pipe.first_bytes, self.pipe.bytes)
                self._mode = self._mode_of_body(head) if head and self._body else "head"
            except NotHttp:
                self._mode = "raw"

    @property
    def _over(self) -> bool:
        return self._dying or self.pipe.ended

    def _is_upgraded(self) -> bool:
        return (self.pipe.opposite if self._upstream else self.pipe).upgraded

    def feed(self, data: bytes) -> None:
        if self._upstream and self._mode == "raw" and self._is_upgraded():
            self._mode = "frames"
        while data and not self._over:
            try:
                data = self._step(data)
            except NotHttp:
                data, self._buffer = self._buffer + data, b""
                self._mode = "raw"
            except NotFrames:
                data = b""
                self.next.feed(self._frames.flush())  # try again with the next read
        waits = (self._frames.pending, self._events.pending, len(self._buffer))
        self.held = sum(waits)

    def _step(self, data: bytes) -> bytes:
        match self._mode:
            case "raw":
                self.next.feed(data)
                return b""
            case "frames":
                for unit in self._frames.feed(data):
                    self._pass(unit, unit.raw)
                return b""
            case "head":
                return self._on_head(data)
            case "body" | "events":
                return self._on_body(data)

    def _on_head(self, data: bytes) -> bytes:
        whole = self._buffer + data
        head = parse_head(whole, response=True)
        self._buffer = b"" if head else whole
        if head is None:
            return b""
        self.next.feed(whole[: head.size])
        body = Body(head, no_body=self.pipe.opposite.first_bytes.startswith(b"HEAD "))
        if head.status == 101:
            self._mode = "frames"
        elif not body.done:
            self._body = body
            self._mode = self._mode_of_body(head)
        return whole[head.size :]

    def _mode_of_body(self, head: Head) -> Mode:
        events = head.get(b"content-type").lower().startswith(b"text/event-stream")
        # with a Content-Length, a dropped event would break the response
        return "events" if events and not head.get(b"content-length") else "body"

    def _on_body(self, data: bytes) -> bytes:
        body = self._body
        assert body is not None
        content, rest = body.feed(data)
        if self._mode == "body":
            self.next.feed(data[: len(data) - len(rest)])
        else:
            for unit in self._events.feed(content):
                self._pass(unit, self._chunk(unit.raw))
        if body.done and not self._over:
            self._end_of_body()
        return rest

    def _end_of_body(self) -> None:
        if self._mode == "events":
            rest = self._events.flush()
            if rest:
                self.next.feed(self._chunk(rest))
            if self._body is not None and self._body.chunked:
                self.next.feed(b"0\r\n\r\n")
        self._body, self._mode = None, "head"

    def _chunk(self, content: bytes) -> bytes:
        """Return an event as sent on the wire: as one chunk if the body is chunked."""
        if self._body is not None and self._body.chunked:
            return b"%x\r\n%b\r\n" % (len(content), content)
        return content

    def _pass(self, unit: StreamUnit, raw: bytes) -> None:
        if self._over:
            return
        if unit.type is None:
            self.next.feed(raw)
        else:
            self.on_unit(unit, raw)

    def eof(self) -> None:
        self.stop()
        self.next.eof()

    def stop(self) -> None:
        """Pass on the bytes of an incomplete message.

        In a chunked body, the bytes that follow then begin a new chunk only if each of
        the server's chunks holds whole events, as servers usually send them.
        """
        rest = self._buffer + self._frames.flush()
        if events := self._events.flush():
            rest += self._chunk(events)
        self._buffer, self.held = b"", 0
        if rest:
            self.next.feed(rest)


class DropMessage(Toxic):
    """Drop the `nth` message of a `type` (empty: any type), and the next `times` − 1 of that type.

    Messages are counted per connection, from when the toxic is added. Imitates a relay that
    loses a message (a broker without acknowledgements, a bug); TCP itself never
    does. The stream stays well-formed, so only sequence numbers reveal the loss.
    """

    type: str = ""
    nth: int = 1
    times: int = 1

    def check(self) -> None:
        super().check()
        if self.nth < 1:
            raise bad_request(f"nth must be at least 1, got {self.nth}")


@works_as("drop_message", DropMessage)
class DropMessageStage(MessageStage[DropMessage]):
    _seen = 0

    def on_unit(self, unit: StreamUnit, raw: bytes) -> None:
        attributes = self.attributes
        if attributes.type and unit.type != attributes.type:
            self.next.feed(raw)
            return
        self._seen += 1
        if attributes.nth <= self._seen < attributes.nth + attributes.times:
            self.entry.used += 1
            self.pipe.record("affected", self.entry.name, len(raw), f"drops message {self._seen}")
        else:
            self.next.feed(raw)


class KillMidframe(Toxic):
    """End the connection in the middle of the `nth` message: after `fraction` of its bytes.

    Imitates a process that dies while it writes. A correct client reports a lost
    connection, and never half a message. It cannot take back bytes that the kernel
    already has: earlier messages arrive.
    """

    nth: int = 1
    fraction: Number = 0.5
    how: Literal["rst", "fin"] = "rst"

    def check(self) -> None:
        super().check()
        if self.nth < 1:
            raise bad_request(f"nth must be at least 1, got {self.nth}")
        if not 0 <= self.fraction < 1:
            raise bad_request(f"fraction must be from 0 to below 1, got {self.fraction}")


@works_as("kill_midframe", KillMidframe)
class KillMidframeStage(MessageStage[KillMidframe]):
    _seen = 0

    def on_unit(self, unit: StreamUnit, raw: bytes) -> None:
        self._seen += 1
        if self._seen < self.attributes.nth:
            self.next.feed(raw)
            return
        part = int(len(raw) * self.attributes.fraction)
        self.entry.used += 1
        self.record_effect(f"message {self._seen}: {part} of {len(raw)} bytes", len(raw) - part)
        self.next.feed(raw[:part])
        self._dying = True
        # let the partial message leave the proxy before the connection ends
        self.pipe.block(self)
        self.after(0.001, self._end)

    def _end(self) -> None:
        self.end(self.attributes.how, "in mid-frame")

    def stop(self) -> None:
        if self._dying:  # removed within that millisecond: the stream has a gap, so it must end
            self._end()
        else:
            super().stop()
