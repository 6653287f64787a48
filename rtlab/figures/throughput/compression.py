"""Figures of compression: bytes saved, memory beside zlib's formula, and CPU time of a fan-out."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtlab.figures.chart_style.labels import readable
from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress
from rtlab.figures.chart_style.palette import PALETTE, color_of

__all__ = ["encoding_figure", "fan_out_figure", "memory_figure"]


def encoding_figure(sizes: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Chart:
    """Draw bytes per message: one panel for each feed, one group of bars for each encoding.

    Parameters
    ----------
    sizes : mapping
        Feed → encoding → codec → bytes per message on the wire.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 4.6, about=f"bytes of a message, by encoding: {', '.join(sizes)}")
    panels = chart.subplots(1, len(sizes), squeeze=False)[0]
    for place, (feed, ways) in enumerate(sizes.items()):
        axes = dress(panels[place], title=feed, xlabel="bytes a message")
        axes.grid(visible=False)
        codecs = list(next(iter(ways.values())))
        height = 0.8 / len(codecs)
        for index, codec in enumerate(codecs):
            values = [ways[way][codec] for way in ways]
            rows = [row + (index - (len(codecs) - 1) / 2) * height for row in range(len(ways))]
            bars = axes.barh(rows, values, height * 0.9, color=color_of("", index), label=codec)
            axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=2, color=INK)
        axes.set_yticks(range(len(ways)), list(ways) if place == 0 else [""] * len(ways))
        axes.invert_yaxis()
        axes.margins(x=0.25)
    handles, labels = panels[0].get_legend_handles_labels()
    chart.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK)
    return chart


def memory_figure(
    formula: Mapping[str, float], idle: Mapping[str, float], used: Mapping[str, float]
) -> Chart:
    """Draw the memory by zlib's formula as bars, and measured memory as points over them.

    Parameters
    ----------
    formula, idle, used : mapping of str to float
        Kind of connection → KiB by zlib's formula, measured after the handshake, and after the feed.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 3.4, about="memory of compressed connections, formula and measured")
    axes = dress(
        chart.add_subplot(), ylabel="KiB a connection", title="Memory over that of a plain connection"
    )
    places = range(len(formula))
    axes.bar(
        places,
        list(formula.values()),
        width=0.6,
        fill=False,
        edgecolor=INK,
        linewidth=1.2,
        label="by zlib's formula",
    )
    axes.plot(places, [idle[name] for name in formula], "o", color=PALETTE["sky"], label="measured, idle")
    axes.plot(
        places, [used[name] for name in formula], "D", color=PALETTE["blue"], label="measured, after the feed"
    )
    axes.set_xticks(places, [f"{name}\n{readable(kib)} KiB" for name, kib in formula.items()])
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return chart


def fan_out_figure(costs: Mapping[str, Mapping[str, Sequence[float]]]) -> Chart:
    """Draw the server's CPU time per delivery: one panel for each feed, one bar per kind of connection.

    Parameters
    ----------
    costs : mapping
        Feed → kind of connection → µs per delivery in each round; the bar is their mean.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 3.0, about=f"server CPU of each delivery: {', '.join(costs)}")
    panels = chart.subplots(1, len(costs), squeeze=False)[0]
    for axes, (feed, kinds) in zip(panels, costs.items(), strict=True):
        dress(axes, title=feed, ylabel="µs of server CPU a delivery")
        for place, rounds in enumerate(kinds.values()):
            middle = sum(rounds) / len(rounds)
            bars = axes.bar(place, middle, width=0.6, color=color_of("", place), alpha=0.85)
            axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=8, color=INK)
            axes.plot([place] * len(rounds), rounds, "o", color=INK, markersize=3)
        axes.set_xticks(range(len(kinds)), list(kinds))
        axes.margins(y=0.15)
    return chart
