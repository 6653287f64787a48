"""Figures of event streams: the bytes that an event adds to its data, and the effect of a buffering proxy."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, legend_label, say_empty
from rtlab.figures.chart_style.palette import PALETTE
from rtlab.models.framing_overhead import sse_overhead_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["arrivals_figure", "event_bytes_figure"]

_COLORS: Final = ("vermilion", "blue", "orange", "green")


def event_bytes_figure(
    data_bytes: NDArray[np.int64],
    added_bytes: NDArray[np.int64],
    *,
    event_bytes: int,
    id_bytes: int,
    title: str = "",
) -> Chart:
    """Draw the bytes that an event adds to its data: model (with type and id, and without), and measured.

    Parameters
    ----------
    data_bytes, added_bytes : array of shape (n,)
        Bytes of data of each measured event, and the bytes that the event added.
    event_bytes, id_bytes : int
        Bytes of the events' type and id, for the model.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9.0, 3.4, about=f"{title}: model and {len(data_bytes)} measurements")
    axes = dress(chart.add_subplot(), title=title, xlabel="data (bytes)", ylabel="added (bytes)")
    curve = np.unique(np.round(np.logspace(1.5, 4.1, 500)).astype(int))
    whole = sse_overhead_bytes(curve, event_bytes=event_bytes, id_bytes=id_bytes)
    axes.plot(curve, whole, color=PALETTE["orange"], label="model: data, event, id and chunk")
    axes.plot(curve, sse_overhead_bytes(curve), color=PALETTE["grey"], label="model: data and chunk alone")
    axes.plot(data_bytes, added_bytes, "o", color=PALETTE["blue"], label="measured")
    axes.set(xscale="log", ylim=(0, 1.25 * max(int(whole.max()), int(np.max(added_bytes, initial=0)))))
    axes.set_xticks([100, 1000, 10_000], ["100", "1,000", "10,000"])
    axes.legend(fontsize=8, frameon=False, ncols=3, labelcolor=INK)
    return chart


def arrivals_figure(
    runs: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], *, title: str = ""
) -> Chart:
    """Draw the transit time of each event of a stream over the time at which it was sent.

    Parameters
    ----------
    runs : mapping of str to (sent, came)
        Name of the run → when each event was sent, and when it arrived; seconds of one clock.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9.0, 3.4, about=f"{title}: {', '.join(runs)}")
    axes = dress(chart.add_subplot(), title=title, xlabel="sent at (s)", ylabel="on its way (ms)")
    for (name, (sent, came)), color in zip(runs.items(), _COLORS, strict=False):
        # `sent[:1]`: a run that was stopped before its first event has none.
        seen: dict[str, Any] = {"color": PALETTE[color], "label": legend_label(name)}
        axes.plot(sent - sent[:1], 1000 * (came - sent), ".", **seen)
    axes.set_ylim(bottom=0)
    if not any(len(sent) for sent, _ in runs.values()):
        say_empty(axes)
    chart.legend(loc="outside right upper", fontsize=8, frameon=False, labelcolor=INK)
    return chart
