"""Diagram of the states of a connection, drawn from the table that drives the state machine."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import textwrap
from collections import defaultdict
from typing import Final

from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text

from rtlab.figures.chart_style.matplotlib_style import INK, ON_PILL, PILL, Chart
from rtlab.figures.chart_style.palette import PALETTE
from rtlab.policies.state_machine_types import State
from rtlab.policies.state_transition_table import TABLE

__all__ = ["state_figure"]

_AT: Final[dict[State, tuple[float, float]]] = {
    State.DISCONNECTED: (0.0, 0.0),
    State.CONNECTING: (0.0, 3.0),
    State.CONNECTED: (4.6, 3.0),
    State.RECONNECTING: (4.6, 0.0),
    State.CLOSED: (8.2, 1.5),
}
_COLORS: Final[dict[State, str]] = {
    State.DISCONNECTED: PALETTE["grey"],
    State.CONNECTING: PALETTE["sky"],
    State.CONNECTED: PALETTE["green"],
    State.RECONNECTING: PALETTE["orange"],
    State.CLOSED: PALETTE["grey"],
}
#: Curvature of arrows, chosen so that the two arrows between a pair of states do not overlap.
_CURVE: Final[dict[tuple[State, State], float]] = {
    (State.CONNECTING, State.CONNECTED): 0.0,
    (State.CONNECTING, State.CLOSED): -0.3,
    (State.CLOSED, State.CONNECTING): 0.52,
    (State.DISCONNECTED, State.CLOSED): 0.72,
    (State.CONNECTING, State.RECONNECTING): 0.2,
    (State.CONNECTED, State.DISCONNECTED): 0.2,
    (State.CONNECTED, State.CLOSED): 0.0,
    (State.CONNECTED, State.RECONNECTING): 0.6,
    (State.RECONNECTING, State.CONNECTED): 0.6,
    (State.RECONNECTING, State.DISCONNECTED): 0.0,
}


def state_figure() -> Chart:
    """Draw the states of a connection and the transitions between them.

    Returns
    -------
    Chart
        One arrow for each pair of states in `rtlab.policies.state_transition_table.TABLE`, labelled
        with the events and, in brackets, their guards. Events that do not change the state
        are listed below it.
    """
    labels = _labels()
    figure = Chart(10, 6.1, about="the states of a connection, and the events between them")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-1.3, 9.3)
    axes.set_ylim(-2.7, 4.9)
    axes.set_aspect("equal")
    boxes: dict[State, Text] = {}
    for state, (x, y) in _AT.items():
        box = {
            "boxstyle": "round,pad=0.5",
            "facecolor": "none",
            "edgecolor": _COLORS[state],
            "linewidth": 2.5,
        }
        boxes[state] = axes.text(
            x, y, state.value, ha="center", va="center", fontsize=11, color=INK, bbox=box
        )
    for (source, target), names in labels.items():
        (x0, y0), (x1, y1) = _AT[source], _AT[target]
        if source is target:
            stays = "stays:\n" + "\n".join(name.replace("\n", " ") for name in names)
            axes.text(x0, y0 - 0.5, stays, ha="center", va="top", fontsize=8, color=INK)
            continue
        curve = _CURVE.get((source, target), 0.22)
        arrow = FancyArrowPatch(
            (x0, y0),
            (x1, y1),
            connectionstyle=f"arc3,rad={curve}",
            arrowstyle="-|>",
            mutation_scale=14,
            patchA=boxes[source].get_bbox_patch(),
            patchB=boxes[target].get_bbox_patch(),
            shrinkA=3,
            shrinkB=3,
            color=PALETTE["grey"],
            linewidth=1.2,
        )
        axes.add_patch(arrow)
        # The middle of matplotlib's "arc3", whose control point is curve · length away from the chord.
        middle = ((x0 + x1) / 2 + curve * (y1 - y0) / 2, (y0 + y1) / 2 - curve * (x1 - x0) / 2)
        axes.text(*middle, "\n".join(names), ha="center", va="center", fontsize=8, color=ON_PILL, bbox=PILL)
    return figure


def _labels() -> dict[tuple[State, State], list[str]]:
    """Return the labels of each arrow, without a guard if several rows of an event share the target."""
    guards: dict[tuple[State, State], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in TABLE:
        guards[row.state, row.then][row.event.__name__].append(row.label)
    return {
        pair: [
            textwrap.fill(f"{event} [{said[0]}]", 18) if len(said) == 1 and said[0] else event
            for event, said in events.items()
        ]
        for pair, events in guards.items()
    }
