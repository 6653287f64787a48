"""Figures of load balancing: clients that moved when a node joined, and node loads in a rolling restart."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress
from rtlab.figures.chart_style.palette import color_of

__all__ = ["moved_figure", "rolling_figure"]


def moved_figure(
    measured: Mapping[str, float], laws: Mapping[str, tuple[float, float]], *, about: str
) -> Chart:
    """Draw the share of clients that moved to another node, measured beside the closed form.

    Parameters
    ----------
    measured : mapping of str to float
        Balancing method → measured share in %.
    laws : mapping of str to (float, float)
        Balancing method → share by the closed form, and three standard deviations, in %.
    about : str
        Title above the axes: the setting of the run.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(6.5, 2.6, about=f"{about}: share of clients that moved")
    axes = dress(chart.add_subplot(), title=about, xlabel="clients with another node than before (%)")
    axes.grid(visible=False, axis="y")
    names = list(measured)
    for row, name in enumerate(names):
        axes.barh(row, measured[name], 0.5, color=color_of(name, row))
        law, deviation = laws[name]
        label = "closed form ± 3 σ" if row == 0 else None
        axes.errorbar(law, row, xerr=deviation, fmt="d", color=INK, capsize=4, markersize=5, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, 100)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower right")
    return chart


def rolling_figure(
    runs: Mapping[str, Sequence[Sequence[int]]], laws: Mapping[str, Sequence[float]], *, about: str
) -> Chart:
    """Draw the load of each node before a rolling restart and after each of its steps.

    Parameters
    ----------
    runs : mapping of str to sequence of sequence of int
        Name of the run → clients on each node, before the restart and after each step.
    laws : mapping of str to sequence of float
        Name of the run → clients on each node after the last step by the closed form, if there is one.
    about : str
        The setting of the runs, for the alternative text.

    Returns
    -------
    Chart
        A matplotlib `Figure`: a panel for each run.
    """
    chart = Chart(9, 3.2, about=f"{about}: clients on each node, step by step")
    panels = chart.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for axes, (name, loads) in zip(panels, runs.items(), strict=True):
        first = axes is panels[0]
        dress(axes, title=name, ylabel="clients" if first else "")
        steps, nodes = len(loads), len(loads[0])
        width = 0.8 / nodes
        for node in range(nodes):
            at = np.arange(steps, dtype=float) + (node - (nodes - 1) / 2) * width
            counts = [step[node] for step in loads]
            axes.bar(at, counts, width * 0.9, color=color_of("", node), label=f"node-{node + 1}")
        for node, law in enumerate(laws.get(name, ())):
            at = steps - 1 + (node - (nodes - 1) / 2) * width
            label = "closed form" if node == 0 else None
            axes.plot(at, law, "d", color=INK, markersize=5, label=label)
        axes.set_xticks(range(steps), ["before", *(f"step {n}" for n in range(1, steps))])
        if first:
            axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return chart
