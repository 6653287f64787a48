"""Explains the bytes of an event stream line by line."""

from __future__ import annotations

import re
from typing import Final

from rtlab.capture.annotation_table import Annotated, Part
from rtlab.errors import MessageError

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


def annotate_events(data: bytes, *, chunked: bool = True) -> Annotated:
    """Explain the body of a ``text/event-stream`` response.

    Parameters
    ----------
    data : bytes
        Bytes after the response's head; an incomplete last chunk is left out.
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
        If the chunks cannot be parsed, or do not hold whole lines.

    Examples
    --------
    >>> annotate_events(bytes([58, 10]) + b"data: 42" + bytes([10, 10]), chunked=False)
    Event stream, 12 bytes
    :         comment      ignored by every client; as a heartbeat it keeps an idle connection open
    data: 42  data     42  the payload; one field for each of its lines
              blank    LF  the event is complete: deliver it
    """
    parts: list[Part] = []
    used = 0
    for chunk, size in _chunks(data) if chunked else [(data, len(data))]:
        used += size
        if chunked:
            parts.append(Part("…", "chunk", "size", "in hexadecimal; HTTP/1.1 needs it"))
        parts += _lines(chunk)
    # The total size of chunks varies with the number of digits of time stamps, so it is left out.
    return Annotated("Event stream, chunked" if chunked else f"Event stream, {used:,} bytes", parts)


def _chunks(data: bytes) -> list[tuple[bytes, int]]:
    """Return each complete chunk's content, and its size on the wire in bytes."""
    found: list[tuple[bytes, int]] = []
    at = 0
    while (line := data.find(b"\r\n", at)) >= 0:
        try:
            size = int(data[at:line], 16)
        except ValueError:
            raise MessageError(f"expected the size of a chunk, got {data[at:line]!r:.40}") from None
        end = line + 2 + size + 2
        if end > len(data):
            break
        found.append((data[line + 2 : line + 2 + size], end - at))
        at = end
    return found


def _lines(text: bytes) -> list[Part]:
    *lines, rest = text.decode().split("\n")
    if rest:
        raise MessageError(f"expected whole lines, got one without an end: {rest!r:.40}")
    parts: list[Part] = []
    event = False
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        value = _id(value) if name == "id" else _VARIES.sub(r"\1…", value)
        shown = value if len(value) <= _MAX_SHOWN else f"{value[: _MAX_SHOWN - 1]}…"
        if not line:
            meaning = "the event is complete: deliver it" if event else "ends nothing"
            parts.append(Part("", "blank", "LF", meaning))
        else:
            raw = f"{name}: {shown}" if value else line
            comment = _COMMENTS.get(name, "unknown: ignored")
            brief = shown if len(shown) <= _MAX_VALUE else "…"
            parts.append(Part(raw, name or "comment", brief if name else "", comment))
        event = bool(line) and (event or name == "data")
    return parts


def _id(value: str) -> str:
    return _EPOCH.sub("…", _SESSION.sub("…", value)) if _OWN_ID.fullmatch(value) else value
