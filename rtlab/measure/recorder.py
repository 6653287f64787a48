"""Records a run: attaches to connections, keeps and saves samples and events, and computes statistics."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rtlab.errors import NoSeries
from rtlab.measure.attach_recorder import Attachment, Source
from rtlab.measure.event_loop_lag import LoopLag
from rtlab.measure.preallocated_sample_log import SampleLog
from rtlab.measure.recording_csv_and_parquet import Recording, read_recording, write_recording
from rtlab.measure.statistics.percentiles import percentiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray


__all__ = ["COLUMNS", "Recorder"]

#: The columns of `Recorder.to_frame()` and what they hold.
COLUMNS: Final[dict[str, str]] = {
    "t_s": "receive time, seconds since the run began",
    "series": "name of the series (categorical)",
    "latency_ms": "received - intended send time; of an echo: the round trip",
    "transit_ms": "received - sent: the network and both ends' I/O; NaN for an echo",
    "lateness_ms": "sent - intended: how late the sender was; NaN for an echo",
    "size_bytes": "size of the padding in the payload, 0 where unknown",
    "loop_late": "the kernel's own loop was late when this sample arrived",
}


class Recorder(SampleLog):
    """Keeps samples, events and the loop's own lag in preallocated memory.

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
    loop_lag : LoopLag, optional
        The ticker to use, a new one by default; it starts with :meth:`start`, or ``async with``.
    parameters : dict, optional
        Anything that describes the run, as plain JSON values; saved with the run.

    Examples
    --------
    >>> recorder = Recorder(clock=lambda: 10.0)
    >>> recorder.record("websocket", ts=9.998, sent=9.999)
    >>> round(recorder.percentiles("websocket")[50], 3)
    2.0
    """

    def __init__(
        self,
        capacity: int = 65_536,
        *,
        max_samples: int = 2_000_000,
        clock: Callable[[], float] = time.monotonic,
        loop_lag: LoopLag | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(capacity, max_samples=max_samples, clock=clock)
        self.started = clock()
        self.parameters: dict[str, Any] = dict(parameters or {})
        self.loop_lag = loop_lag or LoopLag()
        self.attachments: list[Attachment] = []

    def attach(
        self,
        source: Source,
        series: str = "websocket",
        type: str = "feed",
        *,
        common_clock: bool | None = None,
    ) -> Attachment:
        """Record every message of one type that a connection receives.

        Parameters
        ----------
        source : Source
            A connection. Its events become marks, once even if it is attached several times.
        series : str
            Name of the series.
        type : str
            The message type; ``"echo"`` makes a series of round trips.
        common_clock : bool, optional
            Whether sender and receiver share a clock. When left out, the
            ``welcome`` message's boot id decides; without a boot id, one-way columns are
            NaN and ``recorder.series[series].no_clock`` says why.

        Returns
        -------
        Attachment
            Its ``detach()`` ends the recording; it is also a context manager.
        """
        return Attachment(self, self.attachments, source, series, type, common_clock)

    # The loop's lag

    def begin(self) -> None:
        """Count time from now, unless something was recorded already.

        A recorder is often made some cells before the run; `start` and a live plot call this.
        """
        if not self.position and not self.marked:
            self.started = self.clock()

    def start(self) -> None:
        """Start sampling the lag of the running event loop."""
        self.begin()
        self.loop_lag.start(self)

    def stop(self) -> None:
        """Stop sampling, and detach from every connection. The samples stay."""
        self.loop_lag.stop(self)
        for attachment in tuple(self.attachments):
            attachment.detach()

    async def __aenter__(self) -> Recorder:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.stop()

    # Reading

    def measures(self, rows: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Turn raw samples into ``latency``, ``transit`` and ``lateness``, in ms.

        Values that mean nothing (without a common clock, or one direction of an echo) are NaN.
        """
        known = [s.round_trip or s.no_clock is None for s in self.series.values()]
        oneway = [s.no_clock is None and not s.round_trip for s in self.series.values()]
        received, ts, sent = rows["received"], rows["ts"], rows["sent"]

        def only(has_meaning: list[bool], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
            if all(has_meaning):  # the usual case, and cheaper: a live plot asks 15 times a second
                return seconds * 1e3
            return np.where(np.array(has_meaning)[rows["series"]], seconds * 1e3, np.nan)

        return {
            "latency": only(known, received - ts),
            "transit": only(oneway, received - sent),
            "lateness": only(oneway, sent - ts),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return all samples as a DataFrame.

        Returns
        -------
        pandas.DataFrame
            The columns of `COLUMNS`; a negative latency is kept as it is.
        """
        import pandas as pd

        rows = self.since(0).rows
        measures = self.measures(rows)
        names = pd.Categorical.from_codes(rows["series"].astype("i4"), categories=list(self.series))
        return pd.DataFrame(
            {
                "t_s": rows["received"] - self.started,
                "series": names,
                "latency_ms": measures["latency"],
                "transit_ms": measures["transit"],
                "lateness_ms": measures["lateness"],
                "size_bytes": rows["size"].astype("i8"),
                "loop_late": self.loop_lag.covers(rows["received"]),
            }
        )

    def percentiles(
        self, series: str, qs: Iterable[float] = (50, 95, 99), column: str = "latency"
    ) -> dict[float, float]:
        """Return percentiles of one series, in ms.

        Parameters
        ----------
        series : str
            Name of the series.
        qs : iterable of float
            Percentages, 0 to 100.
        column : {"latency", "transit", "lateness"}
            Which measure to rank.

        Returns
        -------
        dict
            Percentage → milliseconds; NaN if there is no value to rank.

        Raises
        ------
        NoSeries
            If there is no series of this name. It is a KeyError, too.
        """
        if series not in self.series:
            known = ", ".join(map(repr, self.series)) or "none yet"
            raise NoSeries(f"no series {series!r}; there is: {known}. Run the cell that records it again")
        rows = self.since(0).rows
        values = self.measures(rows[rows["series"] == self.series[series].index])[column]
        qs = tuple(qs)
        return dict(zip(qs, percentiles(values, qs), strict=True))

    def statistics(self) -> dict[str, Any]:
        """Return a snapshot of how much is recorded, dropped and held in memory."""
        rows = self.since(0).rows
        counts = np.bincount(rows["series"], minlength=len(self.series))
        return {
            "samples": len(rows),
            "dropped": self.dropped,
            "max_samples": self.max_samples,
            "memory_bytes": self.memory_bytes,
            "marks": self.marked,
            "series": {
                s.name: {
                    "samples": int(counts[s.index]),
                    "round_trip": s.round_trip,
                    "no_clock": s.no_clock,
                }
                for s in self.series.values()
            },
            "loop": self.loop_lag.statistics(),
        }

    # Files

    def save(self, path: str | Path) -> Path:
        """Write the run to a file.

        Parameters
        ----------
        path : str or Path
            Ends in ``.csv``, ``.csv.gz`` or ``.parquet``; see `rtlab.measure.recording_csv_and_parquet`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        RecordingError
            For another suffix, for Parquet without pyarrow, for parameters that are not JSON, or for a
            mark whose time is not finite.
        """
        return write_recording(self.recording(), path, start=self.started)

    def recording(self) -> Recording:
        """Return the samples, series and marks so far, as `save` writes them."""
        return Recording(
            rows=self.since(0).rows,
            series=list(self.series.values()),
            marks=list(self.marks),
            late=self.loop_lag.stretches(),
            late_interval=self.loop_lag.interval,
            dropped=self.dropped,
            parameters=self.parameters,
        )

    @classmethod
    def load(cls, path: str | Path) -> Recorder:
        """Read a saved run.

        Parameters
        ----------
        path : str or Path
            A file that :meth:`save` wrote.

        Returns
        -------
        Recorder
            Times start at 0. It takes no new samples. ``parameters`` also holds the file's
            ``"machine"``, ``"versions"`` and ``"saved"``, unless the run had its own.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        RecordingError
            When it is not a recorded run, or is damaged.
        """
        recording = read_recording(path)
        recorder = Recorder(capacity=1, clock=lambda: 0.0, parameters=recording.parameters)
        recorder.hold(recording.rows, recording.series)
        for mark in recording.marks:
            recorder.mark(mark.kind, mark.text, mark.time, event=mark.event)
        recorder.loop_lag.interval = recording.late_interval
        recorder.loop_lag.restore(recording.late)
        recorder.dropped = recording.dropped
        return recorder

    def __repr__(self) -> str:
        return f"Recorder(series={list(self.series)})"
