"""A journal's entry in words: one line for a row, and the full text for its details."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.close_codes import close_code
from rtlab.protocol.json_and_messagepack_codecs import JSON, parse_json
from rtlab.testing.recordings.journal import JournalEntry

__all__ = ["KINDS", "JournalEntryText", "fields_of_entry", "words_of"]

#: Kinds of rows; each has a colour of its own.
KINDS: Final = ("message", "heartbeat", "close", "fault", "state", "event")

_OF_WHAT: Final = {
    "message": "message",
    "ping": "heartbeat",
    "pong": "heartbeat",
    "close": "close",
    "reset": "close",
    "fault": "fault",
    "state": "state",
    "recording": "state",
}
_LINE: Final = 90
_WHOLE: Final = 4_000


class JournalEntryText(NamedTuple):
    """The texts that are shown for an entry.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    line : str
        The text of its row, up to 90 characters.
    whole : str
        The full text, up to 4,000 characters.
    """

    kind: str
    line: str
    whole: str


def fields_of_entry(entry: JournalEntry) -> dict[str, Any]:
    """Return the fields of an event that is kept as JSON; empty for any other entry."""
    try:
        return parse_json(entry.data, dict[str, Any])
    except MessageError:
        return {}


def words_of(entry: JournalEntry) -> JournalEntryText:
    """Return an entry in words.

    Parameters
    ----------
    entry : JournalEntry
        Of a recording, a scripted peer or a mock.

    Examples
    --------
    >>> words_of(JournalEntry(0.0, "peer", "message", '{"type": "echo", "payload": {"n": 1}}')).line
    'echo {"n":1}'
    >>> words_of(JournalEntry(0.0, "peer", "close", "1012 restart")).line
    'close 1012 restart'
    """
    kind = _OF_WHAT.get(entry.what, "event")
    data = entry.data
    text = data if isinstance(data, str) else f"{len(data)} bytes: {data[:48].hex(' ')}"
    whole = text or entry.what
    match entry.what:
        case "message":
            line = _message(entry, text)
        case "recording":
            line = "the recording begins"
        case "fault" | "state" | "note":
            line = text
        case "close":
            line = f"close {text}".strip()
            code = text.partition(" ")[0]
            if code.isdecimal():
                found = close_code(int(code))
                whole = f"{text}\n{found.name}: {found.meaning}"
        case _:
            fields = fields_of_entry(entry)
            said = [f"{name} {_short(value)}" for name, value in fields.items() if value is not False]
            told = ", ".join(said) if fields else text
            line = f"{entry.what} {told}".strip()
    line = " ".join(line.split())
    return JournalEntryText(kind, line if len(line) <= _LINE else line[: _LINE - 1] + "…", whole[:_WHOLE])


def _message(entry: JournalEntry, text: str) -> str:
    try:
        message = JSON.decode(entry.data)
    except MessageError:
        return text  # the peer may not speak rtlab's protocol
    if message.payload is None:
        return message.type
    return f"{message.type} {msgspec.json.encode(message.payload).decode()}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
