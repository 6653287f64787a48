"""Explains the bytes of an event stream line by line."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections import deque
from typing import Final

from rtlab.capture.annotation_table import Annotated, Part
from rtlab.errors import MessageError
from rtlab.protocol.http1_message_parser import NotHttp, chunk_size

__all__ = ["annotate_events"]

_MAX_SHOWN: Final = 90
_MAX_VALUE: Final = 24

_COMMENTS: Final = {
    "": "ignored by every client; as a heartbeat it keeps an idle connection open",
    "event": "the type of this event; without it, message",
    "data": "the payload; one field for each of its lines",
    "id": "what comes back as Last-Event-ID after a loss",
    "retry": "milliseconds to wait before reconnecting",
}
#: In the lab's own ids, the session's name and each room's epoch differ from run to run.
_OWN_ID: Final = re.compile(r"[\w-]{1,64}\.\d{1,15}(?:~[^:~]+:\w+:\d+(?::b)?)*")
_SESSION: Final = re.compile(r"^[\w-]+(?=\.)")
_EPOCH: Final = re.compile(r"(?<=:)\w+(?=:\d)")
#: Fields whose values differ from run to run: shown as an ellipsis.
_VARIES: Final = re.compile(
    r'("(?:ts|sent|id|seq|session|clientId|bootId|epoch)":)("[^"]*"|\{[^}]*\}|[^,}\]]+)'
)
#: A line and its end (WHATWG HTML §9.2.6).
_LINE: Final = re.compile(rb"([^\r\n]*)(\r\n|\n|\r)")
_ENDS: Final = {b"\r\n": "CR LF", b"\n": "LF", b"\r": "CR"}
_CHUNK: Final = Part("…", "chunk", "size", "in hexadecimal; the chunk of size 0 tells an end from a cut")


def annotate_events(data: bytes, *, chunked: bool = True) -> Annotated:
    """Explain the body of a ``text/event-stream`` response.

    Parameters
    ----------
    data : bytes
        Bytes after the response's head; an incomplete last chunk is left out, and so is a line that
        would end in it.
    chunked : bool
        Whether the body is in HTTP/1.1's chunked coding (RFC 9112 §7.1).

    Returns
    -------
    Annotated
        Time stamps, session names and epochs, also those within the lab's own ids, and sizes that
        depend on them are shown as ``…``.

    Raises
    ------
    MessageError
        If the chunks cannot be parsed, or the last line of them all has no end.

    Examples
    --------
    >>> annotate_events(bytes([58, 10]) + b"data: 42" + bytes([10, 10]), chunked=False)
    Event stream, 12 bytes
    :         comment      ignored by every client; as a heartbeat it keeps an idle connection open
    data: 42  data     42  the payload; one field for each of its lines
              blank    LF  the event is complete: deliver it
    """
    data = bytes(data)  # of a tap, it may be a bytearray
    text, starts, whole = _unchunked(data) if chunked else (data, deque[int](), True)
    parts: list[Part] = []
    event = False
    at = len(BOM_UTF8) if text.startswith(BOM_UTF8) else 0
    # Up to the last end of a line: the pattern would try each byte of a long rest that has none.
    stop = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    for match in _LINE.finditer(text, at, stop):
        at = match.end()
        while starts and starts[0] < at:  # a line that two chunks share is shown below the second
            starts.popleft()
            parts.append(_CHUNK)
        line, end = match[1].decode(errors="replace"), match[2]
        if line:
            parts.append(_field(line))
            event = event or parts[-1].name == "data"
        else:
            meaning = "the event is complete: deliver it" if event else "ends nothing"
            parts.append(Part("", "blank", _ENDS[end], meaning))
            event = False
    if whole and at < len(text):
        raise MessageError(f"expected whole lines, got one without an end: {text[at:]!r:.40}")
    parts += [_CHUNK] * len(starts)
    # The total size of chunks varies with the number of digits of time stamps, so it is left out.
    return Annotated("Event stream, chunked" if chunked else f"Event stream, {len(data):,} bytes", parts)


def _unchunked(data: bytes) -> tuple[bytes, deque[int], bool]:
    """Return the content of the complete chunks, where each begins in it, and whether none is incomplete."""
    content, starts, at = bytearray(), deque[int](), 0
    while (line := data.find(b"\r\n", at)) >= 0:
        try:
            size = chunk_size(data[at:line])
        except NotHttp as error:
            raise MessageError(f"expected the size of a chunk, got {error}") from None
        end = line + 2 + size
        if not size:  # the last chunk: trailer fields and an empty line follow (RFC 9112 §7.1.2)
            empty = data.find(b"\r\n\r\n", line)
            end = empty + 2 if empty >= 0 else len(data)
        if end + 2 > len(data):
            break
        if data[end : end + 2] != b"\r\n":
            raise MessageError(f"expected the end of a chunk, got {data[end : end + 2]!r}")
        starts.append(len(content))
        at = end + 2
        if not size:
            return bytes(content), starts, True
        content += data[line + 2 : end]
    return bytes(content), starts, at == len(data)


def _field(line: str) -> Part:
    name, _, value = line.partition(":")
    value = value.removeprefix(" ")
    value = _id(value) if name == "id" else _VARIES.sub(r"\1…", value)
    shown = value if len(value) <= _MAX_SHOWN else f"{value[: _MAX_SHOWN - 1]}…"
    raw = f"{name}: {shown}" if value else line
    comment = _COMMENTS.get(name, "unknown: ignored")
    brief = shown if len(shown) <= _MAX_VALUE else "…"
    return Part(raw, name or "comment", brief if name else "", comment)


def _id(value: str) -> str:
    return _EPOCH.sub("…", _SESSION.sub("…", value)) if _OWN_ID.fullmatch(value) else value
