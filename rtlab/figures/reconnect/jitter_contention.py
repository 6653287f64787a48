"""Figure of clients that contend for one database row: time and writes over their number, by strategy."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress
from rtlab.figures.chart_style.palette import color_of

__all__ = ["ContentionOutcome", "jitter_contention_figure"]


class ContentionOutcome(Protocol):
    """The outcome of one strategy with one number of clients."""

    @property
    def policy(self) -> str: ...
    @property
    def clients(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def calls(self) -> float: ...


def jitter_contention_figure(rows: Sequence[ContentionOutcome]) -> Chart:
    """Draw time until all clients are done, and writes, as in the two charts of Brooker's article.

    Parameters
    ----------
    rows : sequence of ContentionOutcome
        From `rtlab.experiments.reconnect.optimistic_locking_contention.jitter_contention`.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(
        9, 3.8, about="time until all clients have written, and writes made, over the number of clients"
    )
    for place, (field, label) in enumerate([("seconds", "time until all are done (s)"), ("calls", "writes")]):
        axes: Any = dress(chart.add_subplot(1, 2, place + 1), xlabel="clients", ylabel=label, log_y=True)
        for index, name in enumerate(dict.fromkeys(row.policy for row in rows)):
            mine = [row for row in rows if row.policy == name]
            values = [getattr(row, field) for row in mine]
            axes.plot(
                [row.clients for row in mine],
                values,
                color=color_of(name, index),
                linestyle=(0, (3, 3)) if index % 2 else "-",  # full and equal jitter nearly coincide
                label=name,
                marker=".",
            )
        if place == 0:
            chart.legend(
                *axes.get_legend_handles_labels(),
                loc="outside lower center",
                ncols=5,
                frameon=False,
                fontsize=9,
                labelcolor=INK,
            )
    return chart
