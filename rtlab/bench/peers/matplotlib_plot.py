"""A live plot as one would make it with matplotlib alone: the whole figure again for each update."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rtlab.measure.recorder import Recorder

__all__ = ["figure_of"]


def figure_of(recorder: Recorder, samples: int) -> Figure:
    """Draw the newest samples with matplotlib, as one would without a live plot.

    Parameters
    ----------
    recorder : Recorder
        Where they are. Only these are read: a long run must not make the peer slower.
    samples : int
        How many.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    rows = recorder.since(recorder.position - samples).rows
    figure = Figure(figsize=(8, 3.5))
    axes = figure.add_subplot()
    axes.plot(rows["received"] - recorder.started, recorder.measures(rows)["latency"], ".")  # pyright: ignore[reportUnknownMemberType]
    return figure
