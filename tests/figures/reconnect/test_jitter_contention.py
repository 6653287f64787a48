from __future__ import annotations

from rtlab.experiments.reconnect.optimistic_locking_contention import CLIENTS, POLICIES, jitter_contention
from rtlab.figures.reconnect.jitter_contention import jitter_contention_figure


def test_the_figure_has_both_charts():
    figure = jitter_contention_figure(jitter_contention([10, 30], runs=1))
    assert [axes.get_ylabel() for axes in figure.axes] == ["time until all are done (s)", "writes"]
    assert [len(axes.lines) for axes in figure.axes] == [len(POLICIES)] * 2
    assert (CLIENTS[0], CLIENTS[-1]) == (10, 190)


def test_of_two_strategies_with_equal_writes_both_show():
    # Equal and full jitter write equally often: the upper line leaves gaps for the lower.
    figure = jitter_contention_figure(jitter_contention([10, 30], runs=1))
    dashes = {line.get_label(): line.get_linestyle() for line in figure.axes[1].lines}
    assert (dashes["equal jitter"], dashes["full jitter"]) == ("-", "--")
