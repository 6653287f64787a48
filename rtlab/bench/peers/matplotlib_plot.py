"""A live plot made with matplotlib alone, which draws the whole figure again for each update."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rtlab.measure.recorder import Recorder

__all__ = ["figure_of"]


def figure_of(recorder: Recorder, samples: int) -> Figure:
    """Draw the newest samples with matplotlib.

    Parameters
    ----------
    recorder : Recorder
        Holds the samples. Older ones are not read, so that a long run does not make the peer slower.
    samples : int
        Number of samples to draw.

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
