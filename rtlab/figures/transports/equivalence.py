"""Figure of two differences with their confidence intervals beside the margin, to scale and enlarged."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rtlab.figures.chart_style.labels import readable
from rtlab.figures.chart_style.matplotlib_style import FAINT, Chart, dress
from rtlab.figures.chart_style.palette import color_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Difference", "equivalence_figure"]


class Difference(Protocol):
    """How much later `a` is than `b`, in milliseconds, with its confidence interval and the margin."""

    @property
    def a(self) -> str: ...
    @property
    def b(self) -> str: ...
    @property
    def difference_ms(self) -> float: ...
    @property
    def low_ms(self) -> float: ...
    @property
    def high_ms(self) -> float: ...
    @property
    def margin_ms(self) -> float: ...


def equivalence_figure(
    claim: Difference, control: Difference, claim_runs: Sequence[float], control_runs: Sequence[float]
) -> Chart:
    """Draw the intervals of the claim and the control beside the margin, and both again enlarged.

    Parameters
    ----------
    claim, control : Difference
        Result of the test of equivalence, and of the same test where it must find a difference.
    claim_runs, control_runs : sequence of float
        The difference in each run, in milliseconds.

    Returns
    -------
    Chart
        A matplotlib `Figure`: to scale above, enlarged below.
    """
    chart = Chart(9, 3.6, about="confidence intervals of two differences against the margin")
    grid = chart.add_gridspec(2, 2, height_ratios=(1, 1.1))
    whole = dress(
        chart.add_subplot(grid[0, :]), title="To scale: the margin is shaded", xlabel="difference (ms)"
    )
    both = (claim, claim_runs), (control, control_runs)
    for row, (tested, _) in enumerate(reversed(both)):
        _interval(whole, tested, row)
    whole.axvspan(-claim.margin_ms, claim.margin_ms, color=FAINT, alpha=0.2, linewidth=0)
    whole.set_yticks([0, 1], [f"{tested.a} − {tested.b}" for tested, _ in reversed(both)])
    whole.set_ylim(-0.6, 1.6)
    for column, (tested, runs) in enumerate(both):
        width = readable(tested.high_ms - tested.low_ms)
        near = dress(
            chart.add_subplot(grid[1, column]),
            title=f"Enlarged: {width} ms wide",
            xlabel=f"{tested.a} − {tested.b} (ms); dots are runs",
        )
        _interval(near, tested, 1)
        near.plot(runs, [0] * len(runs), "o", color=color_of("sse"), alpha=0.5, ms=5, mew=0)
        near.set_yticks([0, 1], ["runs", "interval"])
        near.set_ylim(-0.7, 1.7)
        if column == 0:
            near.axvline(0, color=FAINT, lw=0.8, ls=":")
    return chart


def _interval(axes: Axes, tested: Difference, row: int) -> None:
    color = color_of("sse")
    spread = [[tested.difference_ms - tested.low_ms], [tested.high_ms - tested.difference_ms]]
    axes.errorbar(
        [tested.difference_ms], [row], xerr=spread, fmt="o", ms=5, color=color, lw=2.5, capsize=7, capthick=2
    )
