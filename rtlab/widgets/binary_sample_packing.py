"""Turns a recorder's new samples into small binary batches: a few numpy slices, no loop over samples."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rtlab.figures.chart_style.palette import EVENT_COLORS, PALETTE, color_of
from rtlab.measure.statistics.percentiles import FEWEST_RANKED, percentiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.measure.recorder import Recorder

__all__ = ["POINT", "Packer", "fell_silent", "running_percentiles"]

#: One drawn point: 16 bytes, read by js/sample_ring_buffers.js.
POINT: Final = np.dtype(
    [("t", "<f4"), ("latency", "<f4"), ("lateness", "<f4"), ("series", "u1"), ("late", "u1"), ("pad", "u2")]
)
_SCAN: Final = 100_000
_STATS_SPAN: Final = 2.0
_STATS_SAMPLES: Final = 5_000
_STATS_PERIOD: Final = 0.2
_SILENCE: Final = 0.2
_QS: Final = (50, 95, 99)


def running_percentiles(values: NDArray[np.float64]) -> list[float] | None:
    """Return p50, p95 and p99 in ms, to 0.1 µs; None if there is no number."""
    found = [round(value, 4) for value in percentiles(values, _QS)]
    return None if math.isnan(found[0]) else found


def fell_silent(received: NDArray[np.float64], now: float) -> bool:
    """Return whether nothing has arrived for longer than the gaps between arrivals explain.

    Without this check, percentiles of the last two seconds would go on as flat lines through an outage.

    Parameters
    ----------
    received : array of shape (n,)
        Receive times of the last seconds, in seconds, in order.
    now : float
        The present time, on the same clock.

    Returns
    -------
    bool
        True if the silence exceeds five median gaps and 0.2 s, or if nothing has arrived at all.
    """
    if not len(received):
        return True
    silence = now - float(received[-1])
    if silence <= _SILENCE or len(received) == 1:
        return silence > _SILENCE
    return silence > 5 * float(np.median(np.diff(received)))


class Packer:
    """Packs the samples, marks and statistics that are new since the last batch.

    Parameters
    ----------
    recorder : Recorder
        Holds the samples.
    window : float
        Width of the plot, in seconds.
    max_points : int
        How many points are drawn in one window at most. Beyond that, every k-th sample of a
        series is drawn, and the highest of each batch, so that no spike is lost. Percentiles
        are always of all samples of the last two seconds (the latest 5,000 of them), as soon as
        a series has 20 samples.

    Examples
    --------
    >>> from rtlab.measure.recorder import Recorder
    >>> recorder = Recorder(clock=lambda: 10.0)
    >>> recorder.record("websocket", ts=9.998)
    >>> header, points = Packer(recorder, window=10.0).pack(now=10.0)
    >>> header["total"], len(points)
    (1, 16)
    """

    def __init__(self, recorder: Recorder, window: float, max_points: int = 2_000) -> None:
        self.recorder = recorder
        self.window = window
        self.max_points = max_points
        self.rewind()

    def rewind(self) -> None:
        """Forget what was packed: the next batch holds the whole window."""
        self._position = 0
        self._counts = np.zeros(0, dtype=np.int64)  # samples packed of each series, by its index
        self._marks = 0
        self._late_until = -np.inf
        self._last = -np.inf
        self._stats_at = -np.inf

    @property
    def pending(self) -> bool:
        """Whether there are new samples."""
        return self.recorder.position > self._position

    def newest(self) -> float:
        """Return the receive time of the newest sample, or the recorder's start."""
        rows = self.recorder.since(self.recorder.position - 1).rows
        return float(rows["received"][-1]) if len(rows) else self.recorder.started

    def pack(self, now: float) -> tuple[dict[str, Any], memoryview]:
        """Return the next batch, without the percentiles: see `statistics`.

        Parameters
        ----------
        now : float
            The moment of the plot's right edge, in seconds on the recorder's clock.

        Returns
        -------
        header : dict
            Plain JSON: the right edge, series, new marks and how many there ever were, late stretches.
        points : memoryview
            The drawn points, an array of `POINT`.
        """
        recorder, start = self.recorder, self.recorder.started
        batch = recorder.since(max(self._position, recorder.position - _SCAN))
        rows = batch.rows
        counts = np.bincount(rows["series"], minlength=len(recorder.series))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        rows = rows[int(np.searchsorted(rows["received"], now - self.window)) :]
        fresh = len(rows)
        rows = self._thin(rows, now)
        header: dict[str, Any] = {
            "now": round(now - start, 6),
            "total": recorder.position,
            "stride": max(1, round(fresh / len(rows))) if len(rows) else 1,
            "series": self._series(),
            "marks": self._new_marks(),
            "marked": recorder.marked,
            "late": self._new_stretches(now),
        }
        points = self._points(rows)
        self._position, self._last = batch.position, now
        return header, memoryview(points.view("u1")).cast("B")  # pyright: ignore[reportArgumentType]

    def statistics(self, now: float) -> dict[str, Any]:
        """Return what completes the header of `pack`: percentiles, at most five times a second.

        They take as long as the rest of the batch. Between the two calls the event loop may do
        other work: samples that arrive meanwhile are counted too.

        Parameters
        ----------
        now : float
            As in `pack`.

        Returns
        -------
        dict
            ``stats``, a reading of each series, without percentiles for one of a few samples or from
            which nothing has arrived for a while; ``earlier``, the readings of the window that were
            not sent in time. Empty if no reading is due.
        """
        if now - self._stats_at < _STATS_PERIOD:
            return {}
        earlier = self._missed_statistics(now)
        self._stats_at = now
        recorder = self.recorder
        rows = recorder.since(recorder.position - _STATS_SAMPLES).rows
        return {"earlier": earlier, "stats": self._statistics(rows, now)}

    def _thin(self, rows: NDArray[Any], now: float) -> NDArray[Any]:
        elapsed = min(self.window, now - self._last)
        budget = max(8, int(self.max_points * elapsed / self.window))
        if len(rows) <= budget:
            return rows
        keep = np.zeros(len(rows), dtype=bool)
        step = -(-len(rows) // budget)
        latency = rows["received"] - rows["ts"]
        for series in self.recorder.series.values():
            mine = np.flatnonzero((rows["series"] == series.index) & ~np.isnan(latency))
            if len(mine):
                # Every k-th of each series: every k-th of all could miss one of two alternating series.
                keep[mine[::step]] = True
                keep[mine[np.argmax(latency[mine])]] = True
        return rows[keep]

    def _points(self, rows: NDArray[Any]) -> NDArray[Any]:
        points = np.zeros(len(rows), POINT)
        measures = self.recorder.measures(rows)
        points["t"] = rows["received"] - self.recorder.started
        points["latency"] = measures["latency"]
        points["lateness"] = measures["lateness"]
        points["series"] = rows["series"]
        if len(rows):
            points["late"] = self.recorder.loop_lag.covers(rows["received"], since=float(rows["received"][0]))
        return points

    def _series(self) -> list[dict[str, Any]]:
        return [
            {
                "name": s.name,
                "color": color_of(s.name, s.index),
                "echo": s.round_trip,
                "note": s.no_clock,
                "coarse": s.coarse_timer and not s.round_trip,
            }
            for s in self.recorder.series.values()
        ]

    def _new_marks(self) -> list[list[Any]]:
        recorder = self.recorder
        new = islice(reversed(recorder.marks), max(0, recorder.marked - self._marks))
        self._marks = recorder.marked
        found = [
            [round(m.time - recorder.started, 4), m.kind, m.text, EVENT_COLORS.get(m.kind, PALETTE["grey"])]
            for m in new
        ]
        return found[::-1]

    def _new_stretches(self, now: float) -> list[list[float]]:
        stretches = self.recorder.loop_lag.stretches(max(self._late_until, now - self.window))
        new = stretches[stretches[:, 1] > self._late_until]
        if len(new):
            self._late_until = float(new[-1, 1])
        return (new - self.recorder.started).round(4).tolist()

    def _missed_statistics(self, now: float) -> list[list[Any]]:
        """Return the statistics that a page has missed because it was opened late or could not keep up."""
        recorder = self.recorder
        begin = max(self._stats_at + _STATS_PERIOD, now - self.window, recorder.started)
        times = np.arange(begin, now - _STATS_PERIOD / 2, _STATS_PERIOD).tolist()
        if not times:
            return []
        rows = recorder.since(recorder.position - _SCAN).rows
        ends = np.searchsorted(rows["received"], times, side="right").tolist()
        return [
            [round(at - recorder.started, 4), self._statistics(rows[max(0, end - _STATS_SAMPLES) : end], at)]
            for at, end in zip(times, ends, strict=True)
        ]

    def _statistics(self, rows: NDArray[Any], now: float) -> list[dict[str, Any]]:
        """Return p50, p95, p99 and the rate of every series, over the last two seconds of these samples."""
        rows = rows[int(np.searchsorted(rows["received"], now - _STATS_SPAN)) :]
        measures = self.recorder.measures(rows)
        found: list[dict[str, Any]] = []
        # A series that has begun since `pack` comes with the next batch: its header does not name it yet.
        for series in islice(self.recorder.series.values(), len(self._counts)):
            mine = rows["series"] == series.index
            received = rows["received"][mine]
            span = float(received[-1] - received[0]) if len(received) > 1 else 0.0
            quiet = fell_silent(received, now)
            unranked = quiet or self._counts[series.index] < FEWEST_RANKED
            found.append(
                {
                    "n": len(received),
                    "rate": round((len(received) - 1) / span, 1) if span > 0 and not quiet else None,
                    **{
                        name: None if unranked else running_percentiles(values[mine])
                        for name, values in measures.items()
                    },
                }
            )
        return found
