"""Static figures of recorded runs: samples, running percentiles, events, and lateness of the event loop."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rtlab.figures.chart_style.labels import LABELS, readable
from rtlab.figures.chart_style.matplotlib_style import FAINT, INK, Chart, dress, legend_label, say_empty
from rtlab.figures.chart_style.palette import EVENT_COLORS, PALETTE, color_of
from rtlab.measure.statistics.percentiles import FEWEST_RANKED, percentiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from rtlab.measure.preallocated_sample_log import Series
    from rtlab.measure.recorder import Recorder

__all__ = ["latency_figure", "trailing_percentiles"]

_QS: Final = (50, 95, 99)
_DASHES: Final[dict[int, Any]] = {50: "-", 95: (0, (5, 2.5)), 99: (0, (1, 1.5))}
#: Legend and style of a sample whose latency is mostly the sender's lateness: a hollow marker.
_LATENESS: Final = "mostly schedule lateness"
_HOLLOW: Final[dict[str, Any]] = {"s": 12, "alpha": 0.6, "fc": "none", "linewidths": 0.7}
#: Size and opacity of markers in a run of few samples, where each one must be visible.
_LARGE: Final[dict[str, Any]] = {"s": 48, "alpha": 0.85}
#: Number of characters of a mark's vertical text that fit into the axes' height.
_TEXT_CHARS: Final = 46

#: Width of a mark's vertical text, as a share of the axes' width.
_TEXT_WIDTH: Final = 0.025


def trailing_percentiles(
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    qs: Iterable[float] = _QS,
    *,
    span: float = 2.0,
    readings: int = 200,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return percentiles of the last `span` seconds, as the live plot shows them.

    Parameters
    ----------
    times, values : array of shape (n,)
        Samples in order of time, without NaN.
    qs : iterable of float
        Percentages.
    span : float
        Seconds that each reading looks back.
    readings : int
        How many readings, evenly over the run.

    Returns
    -------
    at : array of shape (m,)
        Times of the readings.
    percentiles : array of shape (m, len(qs))
        NaN where no sample had arrived for a tenth of `span`, or for five median intervals if longer.
    """
    qs = tuple(qs)
    if not len(times):
        return np.empty(0), np.empty((0, len(qs)))
    at: NDArray[np.float64] = np.linspace(float(times[0]), float(times[-1]), min(readings, len(times)))
    last = np.searchsorted(times, at, side="right")
    first = np.searchsorted(times, at - span, side="left")
    rows = [percentiles(values[a:b], qs) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    found = np.array(rows)
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    found[at - times[last - 1] > max(span / 10, 5 * usual)] = np.nan
    return at, found


def latency_figure(
    recorder: Recorder,
    *,
    mode: str = "latency",
    series: Iterable[str] | None = None,
    order: str = "received",
    last: float = np.inf,
    p95: bool = False,
    log_y: bool = False,
    title: str = "Latency",
    max_points: int = 8_000,
) -> Chart:
    """Draw a whole run: samples, running percentiles, events, and stretches in which the loop was late.

    Parameters
    ----------
    recorder : Recorder
        The run.
    mode : {"latency", "transit", "lateness"}
        Quantity on the vertical axis.
    series : iterable of str, optional
        Names of the series to draw; all by default.
    order : {"received", "intended"}
        Time on the horizontal axis: when each message arrived, with running percentiles; or when
        it should have been sent, so that a stall is a falling line.
    last : float
        Show only the last so many seconds of samples. Percentiles are of the whole run.
    p95 : bool
        Whether to draw the 95th percentile too.
    log_y : bool
        Whether the vertical axis is logarithmic.
    title : str
        Title above the axes.
    max_points : int
        Most samples drawn per series; the highest is always drawn. Percentiles rank all samples; with
        fewer than 20 samples no percentiles are drawn, and the points are large.

    Returns
    -------
    Chart
        A matplotlib `Figure`.

    Raises
    ------
    ValueError
        For an unknown mode, order or series.
    """
    if order not in ("received", "intended"):
        raise ValueError(f"order is 'received' or 'intended', got {order!r}")
    if mode not in ("latency", "transit", "lateness"):
        raise ValueError(f"mode is 'latency', 'transit' or 'lateness', got {mode!r}")
    names = list(recorder.series) if series is None else list(series)
    strangers = [name for name in names if name not in recorder.series]
    if strangers:
        known = ", ".join(recorder.series) or "none"
        raise ValueError(f"no series {', '.join(strangers)}: the recorder has {known}")
    chart = Chart(about=f"{title}: {LABELS[mode]} of {', '.join(names) or 'nothing yet'}")
    axes = chart.add_subplot()
    when = LABELS["time" if order == "received" else "intended"]
    dress(axes, title=title, xlabel=when, ylabel=LABELS[mode], log_y=log_y)
    qs = (50, 95, 99) if p95 else (50, 99)
    chosen = [recorder.series[name] for name in names]
    below = log_y and _none_above_zero(recorder, chosen, mode)
    drawn = [not below and _draw_series(axes, recorder, one, mode, max_points, qs, order) for one in chosen]
    if below:
        say_empty(axes, "no sample is above zero:\na logarithmic axis shows none. Use log_y=False.")
    elif not any(drawn):
        reasons = [one.no_clock for one in chosen]
        if reason := next((text for text in reasons if text), ""):
            axes.text(
                0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes, color=FAINT, wrap=True
            )
        else:
            say_empty(axes)
    elif not log_y:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if mode == "lateness" else 0.0)
    end = axes.dataLim.x1
    if any(drawn) and end - last > axes.get_xlim()[0]:
        until = max([end, *(mark.time - recorder.started for mark in recorder.marks)])
        axes.set_xlim(end - last, until + 0.05 * last)
    _draw_late(axes, recorder, end if any(drawn) else np.inf)
    _draw_marks(axes, recorder, end, end - last)
    if any(drawn):
        _draw_legend(chart, axes)
    return chart


def _none_above_zero(recorder: Recorder, chosen: Iterable[Series], mode: str) -> bool:
    """Return whether there are samples, and none that a logarithmic axis can show."""
    rows = recorder.since(0).rows
    values = recorder.measures(rows[np.isin(rows["series"], [one.index for one in chosen])])[mode]
    values = values[~np.isnan(values)]
    return bool(len(values)) and not bool((values > 0).any())


def _draw_series(
    axes: Axes,
    recorder: Recorder,
    series: Series,
    mode: str,
    max_points: int,
    qs: tuple[int, ...],
    order_by: str,
) -> bool:
    rows = recorder.since(0).rows
    rows = rows[rows["series"] == series.index]
    measures = recorder.measures(rows)
    values = measures[mode]
    known = ~np.isnan(values)
    rows, values = rows[known], values[known]
    if not len(rows):
        return False
    times = rows["received" if order_by == "received" else "ts"] - recorder.started
    order = np.argsort(times, kind="stable")
    color = color_of(series.name, series.index)
    late = recorder.loop_lag.covers(rows["received"])
    hollow = np.zeros(len(rows), dtype=bool)
    if mode == "latency":
        hollow = np.nan_to_num(measures["lateness"][known]) > values / 2
    keep = np.zeros(len(rows), dtype=bool)
    keep[:: -(-len(rows) // max_points)] = True
    top = np.argmax(values)
    keep[top] = True
    large = _LARGE if len(rows) < FEWEST_RANKED else {}
    styles: list[tuple[NDArray[np.bool_], dict[str, Any]]] = [
        (~late & ~hollow, {"s": 9, "alpha": 0.35, "linewidths": 0}),
        (~late & hollow, {"ec": color, **_HOLLOW}),
        (late, {"s": 16, "alpha": 0.7, "marker": "x", "linewidths": 0.9}),
    ]
    for chosen, style in styles:
        chosen = chosen & keep
        if chosen.any():
            colors: dict[str, Any] = {} if "ec" in style else {"color": color}
            axes.scatter(times[chosen], values[chosen], rasterized=True, **{**colors, **style, **large})
    if not (late[top] or hollow[top]):  # draw the highest sample on top of its neighbours
        axes.scatter(times[top], values[top], s=20, color=color, linewidths=0, zorder=4)
    if hollow.any() and _LATENESS not in axes.get_legend_handles_labels()[1]:
        axes.scatter([], [], label=_LATENESS, ec=FAINT, **_HOLLOW)
    shown = legend_label(series.name) + (" (round trip)" if series.round_trip else "")
    if order_by == "intended" or large:
        # Running percentiles rank the samples that had arrived by a time: they have no line by send time.
        names = {50: "median", 100: "highest"} if large else {q: f"p{q}" for q in qs}
        whole = [f"{name}  {readable(percentiles(values, (q,))[0])} ms" for q, name in names.items()]
        label = "\n".join([f"{shown}  whole run, n = {len(values):,}", *whole])
        axes.scatter([], [], s=24, color=color, label=label)
        return True
    at, lines = trailing_percentiles(times[order], values[order], qs)
    for column, q in enumerate(qs):
        (overall,) = percentiles(values, (q,))
        label = f"{shown}  whole run, n = {len(values):,}\np50" if q == 50 else f"p{q}"
        axes.plot(
            at,
            lines[:, column],
            color=color,
            linestyle=_DASHES[q],
            linewidth=1.9 if q == 50 else 1.6,
            label=f"{label}  {readable(overall)} ms",
        )
    return True


def _draw_late(axes: Axes, recorder: Recorder, until: float) -> None:
    """Shade late stretches up to the last sample or event; later ones would only widen the axis."""
    until = max([until, *(mark.time - recorder.started for mark in recorder.marks)])
    stretches = recorder.loop_lag.stretches() - recorder.started
    for n, (start, end) in enumerate(stretches[stretches[:, 0] <= until]):
        label = "kernel's loop was late (×)" if n == 0 else None
        axes.axvspan(start, end, color=PALETTE["vermilion"], alpha=0.18, linewidth=0, label=label)


def _draw_marks(axes: Axes, recorder: Recorder, end: float, since: float) -> None:
    """Draw a line for each event from `since` on.

    The legend names the event's kind, so the text beside the line is only its cause.

    The text is left of its line, because the samples that an event delays are drawn to the right of it;
    after the last sample, at `end`, the text is on the right.
    """
    low, high = axes.get_xlim()
    free, said = -np.inf, dict[str, str]()
    for mark in recorder.marks:
        at = mark.time - recorder.started
        if at < since:
            continue
        color = EVENT_COLORS.get(mark.kind, PALETTE["grey"])
        axes.axvline(
            at,
            color=color,
            linewidth=1.2,
            linestyle="--" if mark.kind == "reconnecting" else "-",
            label=None if mark.kind in said else legend_label(mark.kind),
        )
        before = said.get(mark.kind)
        said[mark.kind] = mark.text
        text = mark.text if len(mark.text) <= _TEXT_CHARS else f"{mark.text[: _TEXT_CHARS - 1]}…"
        width = _TEXT_WIDTH * (high - low)
        left = low + width <= at < end
        begin = at - width if left else at
        if not text or mark.text == before or begin < free:
            continue  # no text, the same text as the last event of this kind, or it would overlap a text
        free = begin + width
        axes.annotate(
            text,
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if left else 3, -3),
            textcoords="offset points",
            rotation=90,
            ha="right" if left else "left",
            va="top",
            fontsize=9,
            color=INK,
        )


def _draw_legend(chart: Chart, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    chart.legend(
        handles,
        labels,
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=2.2,
    )
