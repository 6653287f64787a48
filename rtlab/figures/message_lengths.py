"""Figures of what a message's length reveals: a secret compressed with a guess, and an encrypted text."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, legend_label
from rtlab.figures.chart_style.palette import PALETTE, SERIES_CYCLE

__all__ = ["guesses_figure", "lengths_figure"]


def guesses_figure(lengths: Mapping[str, Mapping[str, int]], *, title: str = "") -> Chart:
    """Draw the bytes on the wire of each guess at one character, one panel for each way of writing.

    Parameters
    ----------
    lengths : mapping of str to mapping of str to int
        Way of writing → guess → bytes. A guess that is the only shortest one is marked.
    title : str
        Title above the panels.

    Returns
    -------
    Chart
        A matplotlib `Figure`.

    Examples
    --------
    >>> guesses_figure({"together": {"a": 67, "b": 68}})
    <Chart: bytes on the wire of each guess, together: a is the shortest>
    """
    shortest = {name: _shortest(found) for name, found in lengths.items()}
    told = "; ".join(
        f"{name}: {best} is the shortest" if best else f"{name}: all alike" for name, best in shortest.items()
    )
    chart = Chart(9, 3.2, about=f"bytes on the wire of each guess, {told}")
    for place, (name, found) in enumerate(lengths.items(), start=1):
        axes: Any = dress(
            chart.add_subplot(1, len(lengths), place),
            title=name,
            xlabel="guess",
            ylabel="bytes on the wire" if place == 1 else "",
        )
        colors = [PALETTE["vermilion" if guess == shortest[name] else "grey"] for guess in found]
        axes.scatter(list(found), list(found.values()), c=colors, s=45)
        axes.set_ylim(min(found.values()) - 2, max(found.values()) + 2)
        axes.yaxis.get_major_locator().set_params(integer=True)
    if title:
        chart.suptitle(title, color=INK, fontsize=11)
    return chart


def lengths_figure(lengths: Sequence[int], sent: Mapping[str, Sequence[int]], *, title: str = "") -> Chart:
    """Draw the length of each encrypted text over the length of the text.

    Parameters
    ----------
    lengths : sequence of int
        Bytes of each text.
    sent : mapping of str to sequence of int
        Way of sending → bytes of each encrypted text.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.

    Examples
    --------
    >>> lengths_figure([1, 2], {"sealed": [64, 64]})
    <Chart: bytes encrypted over bytes written: sealed>
    """
    chart = Chart(9, 3.2, about=f"bytes encrypted over bytes written: {', '.join(sent)}")
    axes: Any = dress(chart.add_subplot(), title=title, xlabel="bytes of the text", ylabel="bytes encrypted")
    for (name, found), color in zip(sent.items(), SERIES_CYCLE, strict=False):
        axes.plot(lengths, found, color=color, drawstyle="steps-post", label=legend_label(name))
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    return chart


def _shortest(found: Mapping[str, int]) -> str:
    least = min(found.values())
    names = [guess for guess, size in found.items() if size == least]
    return names[0] if len(names) == 1 else ""
