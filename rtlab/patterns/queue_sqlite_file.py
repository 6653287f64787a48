"""The file of durable queues: SQLite in WAL mode, locked by one process, and checked on opening.

SQLite recovers a damaged write-ahead log by dropping its end, and has no checksums of rows. So
each row here carries one, and a small file beside the database (``….mark``) holds the number of
transactions: missing or altered data are detected, and the file is set aside instead of used.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sqlite3
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from rtlab.errors import QueueError

__all__ = ["Change", "Damage", "Durability", "QueueFile", "QueueHead", "StoredMessage"]

#: ``"full"``: every finished transaction survives a power cut. ``"normal"``: a power cut may lose the
#: newest ones, which the next opening reports. With both, all survive the death of the process.
Durability = Literal["full", "normal"]

_log: Final = logging.getLogger("rtlab")
_MARK: Final = struct.Struct("<QI")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (commits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS queues (
    name TEXT PRIMARY KEY, stream TEXT NOT NULL, client_id TEXT NOT NULL, next_seq INTEGER NOT NULL,
    incarnation INTEGER NOT NULL, live INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    queue TEXT NOT NULL, seq INTEGER NOT NULL, dead TEXT NOT NULL, message BLOB NOT NULL,
    timestamp REAL NOT NULL, retry_count INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (queue, seq)) WITHOUT ROWID;
"""
_INSERT: Final = (
    "INSERT INTO messages (dead, message, timestamp, retry_count, crc, queue, seq) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = (
    "UPDATE messages SET dead = ?, message = ?, timestamp = ?, retry_count = ?, crc = ? "
    "WHERE queue = ? AND seq = ?"
)
_DELETE: Final = "DELETE FROM messages WHERE queue = ? AND seq = ?"


class Damage(NamedTuple):
    """A file that was set aside.

    Parameters
    ----------
    reason : str
        What is wrong with it.
    kept_as : Path
        Its new path, beside its write-ahead log and mark.
    """

    reason: str
    kept_as: Path


class StoredMessage(msgspec.Struct, gc=False):
    """One message on disk. Not tracked by the garbage collector: a file may hold 100,000 rows.

    Parameters
    ----------
    seq : int
        Number of the message in its queue.
    message : bytes
        The message as JSON.
    timestamp : float
        When it was queued, seconds since 1970.
    retry_count : int
        How often sending it failed.
    dead : str
        Why it is a dead letter; empty while it waits to be sent.
    """

    seq: int
    message: bytes
    timestamp: float
    retry_count: int = 0
    dead: str = ""

    def crc(self, queue: str) -> int:
        """Return the checksum of the queue's name and all fields."""
        begin = zlib.crc32(f"{queue}\0".encode())
        return _row_crc(begin, self.seq, self.message, self.timestamp, self.retry_count, self.dead)


def _row_crc(begin: int, seq: int, message: bytes, timestamp: float, retry_count: int, dead: str) -> int:
    """Return the checksum of a row, continued from `begin`, that of its queue's name."""
    head = f"{seq}\0{dead}\0{timestamp!r}\0{retry_count}\0"
    return zlib.crc32(message, zlib.crc32(head.encode(), begin))


class QueueHead(msgspec.Struct):
    """The state of one queue: its names, its next number, and its count of rows (``live``)."""

    name: str
    stream: str
    client_id: str
    next_seq: int = 1
    incarnation: int = 0
    live: int = 0

    def crc(self) -> int:
        """Return the checksum of all fields."""
        return zlib.crc32(repr(msgspec.structs.astuple(self)).encode())


class Change(NamedTuple):
    """One change of a queue.

    Parameters
    ----------
    queue : str
        Name of the queue.
    add, rewrite : tuple of StoredMessage
        New rows, and rows that replace those of the same number, if they still exist.
    remove : tuple of int
        Numbers of rows; those that do not exist any more are passed over.
    incarnation : int or None
        The incarnation number that the server gave; None changes nothing.
    """

    queue: str
    add: tuple[StoredMessage, ...] = ()
    rewrite: tuple[StoredMessage, ...] = ()
    remove: tuple[int, ...] = ()
    incarnation: int | None = None


class QueueFile:
    """The queues of one file. Not thread-safe.

    Parameters
    ----------
    path : str or Path
        Path of the file; ``":memory:"`` for none.
    durability : {"full", "normal"}
        What a power cut may lose: see `Durability`.

    Attributes
    ----------
    damage : Damage or None
        What was wrong with the existing file; None if it was sound.

    Raises
    ------
    QueueError
        The file is in use, or cannot be read or written.
    """

    def __init__(self, path: str | Path, durability: Durability = "full") -> None:
        self.path = str(path)
        self.damage: Damage | None = None
        self.heads: dict[str, QueueHead] = {}
        self._checked: dict[str, list[StoredMessage]] = {}
        self._durability = durability
        self._mark: int | None = None
        self._commits = 0
        self._db = self._connect()
        try:
            reason = self._judge()
            if reason is not None:
                self.damage = self._set_aside(reason)
                self._db = self._connect()
                reason = self._judge()
                if reason is not None:
                    raise QueueError(f"{self.path} cannot be made anew: {reason}")
            self._begin()
        except BaseException:
            self.close()
            raise

    # Opening

    def _connect(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            # The lock is held from the first access on, so no other process can write to the file.
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
        except sqlite3.Error as error:
            raise self._explained(error) from error
        return db

    def _judge(self) -> str | None:
        """Return what is wrong with the file, None when it can be used. Writes nothing to a file in use."""
        memory = self.path == ":memory:"
        marked = None if memory else self._read_mark()
        try:
            if not memory and marked and not (os.path.exists(self.path) and os.path.getsize(self.path)):
                return f"the file is empty, after {marked} transactions"
            if marked == -1:
                return f"{self.path}.mark cannot be read"
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                if self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                    return "it is a database of something else"
                return f"it has no tables, after {marked} transactions" if marked else None
            checked = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if checked != "ok":
                return str(checked)
            self._commits = self._db.execute("SELECT commits FROM meta").fetchone()[0]
            if marked is not None and marked > self._commits:
                lost = marked - self._commits
                return f"its newest {lost} transactions are missing"
            return self._judge_rows()
        except sqlite3.OperationalError as error:
            if "malformed" in str(error):
                return str(error)
            raise self._explained(error) from error
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            return str(error)

    def _judge_rows(self) -> str | None:
        heads: dict[str, QueueHead] = {}
        columns = "name, stream, client_id, next_seq, incarnation, live, crc"
        for *fields, crc in self._db.execute(f"SELECT {columns} FROM queues"):
            head = QueueHead(*fields)
            if head.crc() != crc:
                return f"the head of the queue {head.name!r} is not what was written"
            heads[head.name] = head
        total = self._db.execute("SELECT count(*) FROM messages").fetchone()[0]
        waiting: dict[str, list[StoredMessage]] = {}
        for name, head in heads.items():
            rows = self._read_checked(name)
            if isinstance(rows, int):
                return f"message {rows} of the queue {name!r} is not what was written"
            if head.live != len(rows):
                return f"the queue {name!r} has {len(rows)} messages of {head.live}"
            total -= len(rows)
            waiting[name] = [row for row in rows if not row.dead]
        if total:
            return f"{total} messages belong to no queue"
        self.heads, self._checked = heads, waiting
        return None

    def _read_checked(self, queue: str) -> list[StoredMessage] | int:
        """Return all rows of a queue in order, or the number of one that fails its checksum."""
        rows = list[StoredMessage]()
        begin = zlib.crc32(f"{queue}\0".encode())  # computed once: 100,000 rows may wait
        columns = "seq, message, timestamp, retry_count, dead, crc"
        found = self._db.execute(f"SELECT {columns} FROM messages WHERE queue = ? ORDER BY seq", (queue,))
        for seq, message, timestamp, retries, dead, crc in found:
            if _row_crc(begin, seq, message, timestamp, retries, dead) != crc:
                return seq
            rows.append(StoredMessage(seq, message, timestamp, retries, dead))
        return rows

    def _begin(self) -> None:
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={self._durability.upper()}")
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            if not self._db.execute("SELECT 1 FROM meta").fetchone():
                self._db.execute("INSERT INTO meta VALUES (0)")
            self._db.execute("COMMIT")
            if self.path != ":memory:":
                self._mark = os.open(f"{self.path}.mark", os.O_RDWR | os.O_CREAT, 0o600)
                self._write_mark()
        except (sqlite3.Error, OSError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> QueueError:
        text = str(error)
        if "locked" in text:
            return QueueError(
                f"{self.path} is open in another process: close it there, or give this one a file of its own"
            )
        if "unable to open" in text or "readonly" in text or isinstance(error, PermissionError):
            return QueueError(
                f"{self.path} cannot be opened for writing ({text}): does its folder exist, and may you "
                "write there?"
            )
        if "full" in text:
            return QueueError(f"the disk of {self.path} is full: make place, then send again")
        return QueueError(f"{self.path}: {text}")

    def _set_aside(self, reason: str) -> Damage:
        """Keep the damaged files unchanged under another name, and remove the originals."""
        number = 1
        while (kept := Path(f"{self.path}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", ".mark"):
            with suppress(FileNotFoundError):
                # Copied before SQLite closes its files, which could change them.
                shutil.copy2(self.path + suffix, str(kept) + suffix)
        self._db.close()
        self._commits, self.heads, self._checked = 0, {}, {}
        for suffix in ("", "-wal", "-shm", ".mark"):
            with suppress(FileNotFoundError):
                os.unlink(self.path + suffix)
        return Damage(reason, kept)

    # The mark

    def _read_mark(self) -> int | None:
        """Return how many transactions were committed, None without a mark, -1 for a damaged one."""
        try:
            data = Path(f"{self.path}.mark").read_bytes()
        except OSError:
            return None
        if len(data) != _MARK.size:  # empty: its process or its machine ended before it was written
            return -1 if data else None
        commits, crc = _MARK.unpack(data)
        return commits if zlib.crc32(data[:8]) == crc else -1

    def _write_mark(self) -> None:
        if self._mark is not None:
            data = struct.pack("<Q", self._commits)
            os.pwrite(self._mark, data + struct.pack("<I", zlib.crc32(data)), 0)

    # Using it

    def queue(self, name: str, client_id: str | None) -> QueueHead:
        """Return a queue's head. A new queue gets a new stream name, and a new client id unless given."""
        head = self.heads.get(name)
        if head is None:
            own = client_id or secrets.token_urlsafe(9)
            head = self.heads[name] = QueueHead(name, secrets.token_urlsafe(12), own)
            self.apply([Change(name)])
        return self.heads[name]

    def apply(self, changes: list[Change]) -> None:
        """Write changes in one transaction: all or none.

        Raises
        ------
        QueueError
            No change was written.
        """
        heads = dict(self.heads)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for change in changes:
                head = heads[change.queue]
                self._write(_INSERT, change.queue, change.add)
                self._write(_UPDATE, change.queue, change.rewrite)
                gone = self._db.executemany(_DELETE, [(change.queue, seq) for seq in change.remove]).rowcount
                heads[change.queue] = replace(
                    head,
                    next_seq=max([head.next_seq, *(row.seq + 1 for row in change.add)]),
                    live=head.live + len(change.add) - gone,  # a removal may come twice
                    incarnation=head.incarnation if change.incarnation is None else change.incarnation,
                )
            for name in {change.queue for change in changes}:
                values: list[Any] = [*msgspec.structs.astuple(heads[name]), heads[name].crc()]
                self._db.execute("INSERT OR REPLACE INTO queues VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            self._db.execute("UPDATE meta SET commits = commits + 1")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise self._explained(error) from error
        self.heads = heads
        self._commits += 1
        try:
            self._write_mark()
        except OSError as error:  # the changes are on disk; an older mark only vouches for fewer of them
            _log.warning("%s.mark cannot be written: %s", self.path, error)

    def _write(self, statement: str, queue: str, rows: tuple[StoredMessage, ...]) -> None:
        values = [
            (row.dead, row.message, row.timestamp, row.retry_count, row.crc(queue), queue, row.seq)
            for row in rows
        ]
        self._db.executemany(statement, values)

    def waiting(self, name: str) -> list[StoredMessage]:
        """Return a queue's waiting rows in order; the first call returns those read on opening."""
        rows = self._checked.pop(name, None)
        return self.load(name, 0, 1 << 62) if rows is None else rows

    def load(self, name: str, after: int, limit: int, *, dead: bool = False) -> list[StoredMessage]:
        """Return up to `limit` rows in order, with numbers above `after`: waiting, or dead letters."""
        rows = self._db.execute(
            "SELECT seq, message, timestamp, retry_count, dead FROM messages "
            f"WHERE queue = ? AND seq > ? AND dead {'!=' if dead else '='} '' ORDER BY seq LIMIT ?",
            (name, after, limit),
        )
        return [StoredMessage(*fields) for fields in rows]

    def close(self) -> None:
        """Release the file."""
        self._db.close()
        if self._mark is not None:
            os.close(self._mark)
            self._mark = None
