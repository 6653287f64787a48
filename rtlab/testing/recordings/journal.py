"""What happened on a connection, in order: drawn as text, saved to a file, read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from rtlab.errors import RtlabError

__all__ = ["Journal", "JournalEntry", "JournalError"]

MAX_ENTRIES: Final = 10_000
_WIDTH: Final = 46


class JournalError(RtlabError):
    """A recording cannot be read, or cannot be played."""


class JournalEntry(NamedTuple):
    """One thing that happened on a connection.

    Parameters
    ----------
    at : float
        Time on the event loop's clock, in seconds.
    who : str
        Who sent it, or did it: ``"client"``, ``"peer"``, or between them ``"proxy"`` or ``"rule"``.
    what : str
        ``"message"``, ``"close"``, ``"ping"``, ``"pong"``, or something that is not sent to the other
        side: ``"open"``, ``"state"``, ``"reset"`` (the connection ended without a close frame, perhaps on
        the way between the two) … or the name of a connection's event.
    data : str or bytes
        The message, a description in words, or the fields of an event as JSON.
    connection : int
        The connection's number, from 1.
    """

    at: float
    who: str
    what: str
    data: str | bytes = ""
    connection: int = 1

    @property
    def is_sent(self) -> bool:
        """Whether it was sent to the other side, so that a diagram draws an arrow."""
        return self.what in ("message", "close", "ping", "pong")


class _Line(msgspec.Struct, omit_defaults=True):
    at: float
    who: str
    what: str
    text: str | None = None
    binary: bytes | None = None
    connection: int = 1


class Journal:
    """The newest entries of all connections to one peer.

    Parameters
    ----------
    limit : int
        How many entries are kept.

    Examples
    --------
    >>> journal = Journal()
    >>> journal.add(0.0, "client", "message", "hello")
    >>> journal.add(0.25, "peer", "close", "1012 restart")
    >>> print(journal.diagram())
          time  client                                          peer
       0.000 s  |---- hello ---------------------------------->|
       0.250 s  |<--- close 1012 restart ----------------------|
    """

    def __init__(self, limit: int = MAX_ENTRIES) -> None:
        self._entries: deque[JournalEntry | tuple[float, str, str, str | bytes, int]] = deque(maxlen=limit)
        #: Appends an entry. It takes a plain tuple, which costs a mock less than an `JournalEntry`.
        self.note: Callable[[tuple[float, str, str, str | bytes, int]], None] = self._entries.append

    def add(self, at: float, who: str, what: str, data: str | bytes = "", connection: int = 1) -> None:
        """Append an entry; see `JournalEntry` for the parameters."""
        self.note((at, who, what, data, connection))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        return (JournalEntry(*entry) for entry in tuple(self._entries))

    def messages(self, who: str) -> list[str | bytes]:
        """Return the messages that one side sent, oldest first."""
        return [entry.data for entry in self if entry.what == "message" and entry.who == who]

    def diagram(self, last: int = 30) -> str:
        """Draw the entries as a sequence diagram in text, from top to bottom.

        Parameters
        ----------
        last : int
            How many of the newest entries to draw.
        """
        entries = list(self)
        lines = [f"{'time':>10}  client{'peer':>{_WIDTH}}"]
        if len(entries) > last:
            lines.append(f"{'':>10}  … {len(entries) - last} entries before")
        begin = entries[0].at if entries else 0.0
        number = entries[-last:][0].connection if entries else 1
        for entry in entries[-last:]:
            if entry.connection != number:
                number = entry.connection
                lines.append(f"{'':>10}  ==== connection {number} {'=' * (_WIDTH - 17 - len(str(number)))}")
            lines.append(f"{entry.at - begin:8.3f} s  {_arrow(entry)}")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write all entries into a file, one JSON object per line."""
        encode = msgspec.json.encode
        lines = [encode(_line(entry)) for entry in self]
        Path(path).write_bytes(b"".join(line + b"\n" for line in lines))

    @classmethod
    def load(cls, path: str | Path) -> Journal:
        """Read what `save` wrote.

        Raises
        ------
        JournalError
            If the file is no journal; the message names the line.
        """
        try:
            lines = Path(path).read_bytes().splitlines()
        except OSError as error:
            raise JournalError(f"{path} cannot be read: {error.strerror}") from error
        journal = cls(max(MAX_ENTRIES, len(lines)))
        for number, raw in enumerate(lines, 1):
            try:
                line = msgspec.json.decode(raw, type=_Line)
            except Exception as error:  # bytes of any kind: msgspec raises more than its own errors
                raise JournalError(
                    f"{path}, line {number} is no entry of a journal: {error}. "
                    "Was it written by WireRecording.save()?"
                ) from None
            data: str | bytes = line.binary if line.binary is not None else line.text or ""
            journal.add(line.at, line.who, line.what, data, line.connection)
        return journal


def _line(entry: JournalEntry) -> _Line:
    binary = isinstance(entry.data, bytes)
    return _Line(
        entry.at,
        entry.who,
        entry.what,
        None if binary else str(entry.data),
        bytes(entry.data) if isinstance(entry.data, bytes) else None,
        entry.connection,
    )


def _arrow(entry: JournalEntry) -> str:
    data: Any = entry.data
    text = data if isinstance(data, str) else f"{len(data)} bytes: {data[:16].hex(' ')}"
    text = " ".join((text if entry.what == "message" else f"{entry.what} {text}").split())
    if not entry.is_sent:
        return f"|{f' {entry.who}: {text} '[:_WIDTH].center(_WIDTH, '.')}|"
    room = _WIDTH - 7
    text = f" {text if len(text) <= room else text[: room - 1] + '…'} "
    if entry.who == "client":
        return f"|----{text}".ljust(_WIDTH, "-") + ">|"
    return f"|<---{text}".ljust(_WIDTH + 1, "-") + "|"
