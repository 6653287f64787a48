"""A decoder of the event stream format: bytes in, events out, no I/O.

The rules are those of the HTML standard, section 9.2.6 "Interpreting an event
stream". `SseDecoder` returns the same events however the bytes are split into
chunks, and returns each event as soon as its last byte has arrived.

A line ends with CR, LF or CRLF. Whether a CR is the end of a line or the first
half of a CRLF is not known until the next byte, which may come an hour later. So a
CR ends its line at once, and an LF that follows as the very next byte is dropped.
"""

from __future__ import annotations

from typing import Final

import msgspec

from rtlab.errors import MessageTooLarge
from rtlab.protocol.limits import MAX_MESSAGE_BYTES

__all__ = ["MAX_EVENT_BYTES", "MAX_LINE_BYTES", "SseDecoder", "SseEvent"]

# Limits
MAX_EVENT_BYTES: Final = MAX_MESSAGE_BYTES
MAX_LINE_BYTES: Final = MAX_MESSAGE_BYTES + 64

_BOM: Final = b"\xef\xbb\xbf"
# A longer `retry` value is cut to this many digits: both exceed any wait, and `int` refuses 4,300 digits.
_RETRY_DIGITS: Final = 18


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream.

    Parameters
    ----------
    type : str
        The ``event`` field; ``"message"`` without one.
    data : str
        The ``data`` fields, joined by newlines.
    id : str
        The last event id after this event; ``""`` for none.
    """

    type: str
    data: str
    id: str = ""


class SseDecoder:
    r"""Turns the bytes of one response into events.

    Parameters
    ----------
    last_event_id : str
        The last event id of the former connections; ``""`` for none.
    max_event_bytes : int
        The largest ``data`` of one event in bytes, including the newlines between its lines.
    max_line_bytes : int
        The longest line of any kind in bytes, comments included.

    Attributes
    ----------
    last_event_id : str
        The value to send as ``Last-Event-ID`` on a reconnect.
    retry : float or None
        The reconnection time that the stream asked for, in seconds; None before a ``retry`` field.
    comments : int
        The count of comment lines (they begin with a colon), which servers send as heartbeats.

    Notes
    -----
    Bytes left over when the stream ends are an event without its final blank line. The
    standard has it discarded, so the decoder has no method to call at the end.

    Examples
    --------
    >>> decoder = SseDecoder()
    >>> decoder.feed(b"event: price\ndata: 4")
    []
    >>> decoder.feed(b"2\n\n")
    [SseEvent(type='price', data='42', id='')]
    """

    def __init__(
        self,
        last_event_id: str = "",
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self.last_event_id = last_event_id
        self.retry: float | None = None
        self.comments = 0
        self._max_event_bytes = max_event_bytes
        self._max_line_bytes = max_line_bytes
        self._started = False  # whether the first bytes, where a BOM may stand, have been read
        self._drop_lf = False  # whether the last byte was a CR
        self._line = bytearray()  # a line that is not complete yet
        self._type = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._id = last_event_id  # committed by the next blank line
        self._failed: MessageTooLarge | None = None

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Process the next bytes; return the events that they complete.

        Parameters
        ----------
        chunk : bytes
            The next bytes of the stream, split anywhere.

        Returns
        -------
        list of SseEvent

        Raises
        ------
        MessageTooLarge
            A line or an event exceeds its limit; every later call raises it too. If
            the chunk completed events before that, they are returned, and only the
            next call raises.
        """
        if self._failed is not None:
            raise self._failed
        events: list[SseEvent] = []
        try:
            for line in self._lines(chunk):
                if line:
                    self._field(line)
                    continue
                self.last_event_id = self._id
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    kind = str(self._type, "utf-8", "replace") if self._type else "message"
                    events.append(SseEvent(kind, str(data, "utf-8", "replace"), self._id))
                    self._data = []
                    self._data_bytes = 0
                self._type = b""
        except MessageTooLarge as error:
            self._failed = error
            if not events:
                raise
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Return the complete lines, and keep the incomplete rest."""
        if not self._started:
            chunk = bytes(self._line) + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._line[:] = chunk
                return []
            self._started = True
            self._line.clear()
            chunk = chunk.removeprefix(_BOM)
        if self._drop_lf and chunk:
            self._drop_lf = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._drop_lf = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        self._line += lines[0]
        if len(lines) == 1:
            self._check_line(self._line)
            return []
        lines[0] = bytes(self._line)
        self._line[:] = lines.pop()
        return lines

    def _check_line(self, line: bytes | bytearray) -> None:
        if len(line) > self._max_line_bytes:
            raise MessageTooLarge(len(line), self._max_line_bytes)

    def _field(self, line: bytes) -> None:
        self._check_line(line)
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._max_event_bytes + 1:
                raise MessageTooLarge(self._data_bytes - 1, self._max_event_bytes)
            self._data.append(value)
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = str(value, "utf-8", "replace")
        elif name == b"retry" and value.isdigit():  # `bytes.isdigit` accepts ASCII digits only
            self.retry = int(value.lstrip(b"0")[:_RETRY_DIGITS] or b"0") / 1000
        elif not name:  # a comment: the line begins with the colon
            self.comments += 1
