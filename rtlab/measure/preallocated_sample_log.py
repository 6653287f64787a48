"""A log of samples, in preallocated blocks where appending allocates nothing, and of events."""

from __future__ import annotations

import math
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import numpy as np

from rtlab.errors import InvalidState

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["ROW", "Mark", "Rows", "SampleLog", "Series"]

#: One sample in memory: 32 bytes.
ROW: Final = np.dtype(
    [("received", "f8"), ("ts", "f8"), ("sent", "f8"), ("size", "u4"), ("series", "u2"), ("flags", "u2")]
)
_PACK: Final = struct.Struct("=dddIHH").pack_into
_MAX_SERIES: Final = 256
_MAX_MARKS: Final = 10_000


class Mark(msgspec.Struct, frozen=True):
    """Something that happened at one moment: ``connected``, a fault, a note.

    Parameters
    ----------
    time : float
        Seconds on the recorder's clock.
    kind : str
        One of the names in `rtlab.figures.chart_style.palette.EVENT_COLORS`, or any word.
    text : str
        Label to show beside it.
    event : str
        For an event of a connection, its fields as JSON, so that a replay can emit it again; else empty.
    """

    time: float
    kind: str
    text: str = ""
    event: str = ""


class Series(msgspec.Struct):
    """A named stream of samples.

    Parameters
    ----------
    name : str
        Its name, which also chooses its colour.
    index : int
        Its number in the ``series`` field of the rows.
    round_trip : bool
        Whether its samples are echoes: then `ts` is a time of this process's own clock,
        and only the round trip means something.
    no_clock : str or None
        Why one-way latency is unknown; None when both ends share a clock.
    coarse_timer : bool
        Whether the sender's timer fires only on whole milliseconds, so that up to 1 ms of its
        lateness is rounding.
    """

    name: str
    index: int
    round_trip: bool = False
    no_clock: str | None = None
    coarse_timer: bool = False


class Rows(msgspec.Struct, frozen=True):
    """What `Recorder.since` returns.

    Parameters
    ----------
    rows : array of ROW
        The samples, oldest first.
    position : int
        Argument of the next `Recorder.since`, to continue behind these rows.
    missed : int
        Samples that were forgotten before they could be read.
    """

    rows: NDArray[Any]
    position: int
    missed: int


class SampleLog:
    """A bounded log of samples, in blocks, and of events.

    Parameters
    ----------
    capacity : int
        Samples per block of memory (32 bytes each); a block is allocated when
        the one before is full.
    max_samples : int
        The most samples to keep. Beyond it the *oldest block* is forgotten, and
        ``dropped`` says how many samples went with it.
    clock : callable
        Returns seconds; must be the clock of the messages' time stamps.
    """

    def __init__(
        self,
        capacity: int = 65_536,
        *,
        max_samples: int = 2_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if capacity < 1 or max_samples < 1:
            raise ValueError(f"capacity and max_samples are at least 1, got {capacity} and {max_samples}")
        self.clock = clock
        self.max_samples = max_samples
        self.dropped = 0
        #: The latest events, oldest first.
        self.marks: deque[Mark] = deque(maxlen=_MAX_MARKS)
        #: How many events there ever were.
        self.marked = 0
        self.series: dict[str, Series] = {}
        self._indexes: dict[str, int] = {}
        # At least two blocks, so that dropping the oldest never drops every sample.
        self._block = max(1, min(capacity, max_samples // 2))
        self._full: deque[NDArray[Any]] = deque()
        self._frozen = False
        self._new_block()

    def record(
        self,
        series: str,
        ts: float,
        sent: float = math.nan,
        size: int = 0,
        received: float | None = None,
    ) -> None:
        """Append one sample.

        Parameters
        ----------
        series : str
            Name of the series; a new name makes a one-way series.
        ts : float
            Intended send time in seconds, NaN when unknown.
        sent : float
            Real send time in seconds, NaN when unknown.
        size : int
            Bytes of the message's padding.
        received : float, optional
            Receive time in seconds; now, when left out.

        Raises
        ------
        TypeError
            When a stamp is not a number, or the size does not fit 32 bits.
        InvalidState
            On a recorder that was loaded from a file.
        """
        at = self._at
        if at == self._end:
            self._next_block()
            at = 0
        try:
            _PACK(
                self._buffer,
                at,
                self.clock() if received is None else received,
                ts,
                sent,
                size,
                self._indexes[series],
                0,
            )
        except KeyError:
            self.add_series(series)
            return self.record(series, ts, sent, size, received)
        except struct.error as error:
            raise TypeError(
                f"a sample is (ts, sent: seconds; size: 0 to 2**32 - 1), got ({ts!r}, {sent!r}; {size!r})"
            ) from error
        self._at = at + 32
        return None

    def mark(self, kind: str, text: str = "", at: float | None = None, *, event: str = "") -> None:
        """Note an event: a vertical line in every plot.

        Parameters
        ----------
        kind : str
            A name in `rtlab.figures.chart_style.palette.EVENT_COLORS` gets its colour.
        text : str
            Label to write beside it.
        at : float, optional
            Seconds on the log's clock; now, when left out.
        event : str
            The fields of a connection's event, as JSON; empty for any other mark.
        """
        self.marks.append(Mark(self.clock() if at is None else at, kind, text, event))
        self.marked += 1

    def add_series(self, name: str, *, round_trip: bool = False, no_clock: str | None = None) -> Series:
        """Make a series, or return the existing one of that name.

        Parameters
        ----------
        name : str
            Its name.
        round_trip : bool
            Whether its samples are echoes.
        no_clock : str, optional
            Why its one-way latency is unknown.

        Raises
        ------
        ValueError
            When there are 256 series already, or when `round_trip` contradicts an existing series.
        """
        if name in self.series:
            found = self.series[name]
            if found.round_trip != round_trip:
                raise ValueError(
                    f"series {name!r} holds {'round trips' if found.round_trip else 'one-way samples'}: "
                    "give the other kind a name of its own"
                )
            return found
        if len(self.series) >= _MAX_SERIES:
            raise ValueError(f"a recorder holds at most {_MAX_SERIES} series: use a second recorder")
        made = Series(name, len(self.series), round_trip, no_clock)
        self.series[name] = made
        self._indexes[name] = made.index
        return made

    def __len__(self) -> int:
        return sum(map(len, self._full)) + self._at // 32

    @property
    def position(self) -> int:
        """How many samples were ever recorded."""
        return self.dropped + len(self)

    def since(self, position: int = 0) -> Rows:
        """Return the raw samples that were recorded after a position.

        Parameters
        ----------
        position : int
            The ``position`` that an earlier call returned, or 0 for all samples.

        Returns
        -------
        Rows
            The rows are a view when all of them lie in one block: do not write to them.
        """
        start = max(position, self.dropped)
        skip = start - self.dropped
        parts: list[NDArray[Any]] = []
        for block in (*self._full, self._rows[: self._at // 32]):
            if skip < len(block):
                parts.append(block[skip:])
            skip = max(0, skip - len(block))
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, ROW)
        return Rows(rows, self.position, start - position)

    @property
    def memory_bytes(self) -> int:
        """Bytes that the blocks take."""
        return sum(block.nbytes for block in self._full) + self._rows.nbytes

    def hold(self, rows: NDArray[Any], series: list[Series]) -> None:
        """Hold exactly these rows from now on, and take no more."""
        self.series = {s.name: s for s in series}
        self._indexes = {s.name: s.index for s in series}
        self._full = deque([rows])
        self._at, self._end, self._frozen = 0, 0, True

    def _new_block(self) -> None:
        # numpy.zeros reserves pages that the operating system allocates only when first written.
        self._rows = np.zeros(self._block, ROW)
        self._buffer = memoryview(cast("Any", self._rows.view("u1")))
        self._at = 0
        self._end = self._block * ROW.itemsize

    def _next_block(self) -> None:
        if self._frozen:
            raise InvalidState("a new recorder", "one that was loaded from a file", "make a Recorder()")
        self._full.append(self._rows)
        while self._full and (len(self._full) + 1) * self._block > self.max_samples:
            self.dropped += len(self._full.popleft())
        self._new_block()
