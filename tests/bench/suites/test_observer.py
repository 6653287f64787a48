"""The observer benchmark, once around, in a real JupyterLab."""

from __future__ import annotations

import pytest

from rtlab.bench.suites.observer import measure
from rtlab.experiments.observer_effect import figure_of
from rtlab.measure.recorder import Recorder
from rtlab.notebook.browser import chromium


def test_the_rival_draws_no_more_than_the_live_plot_shows():
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(1_000):
        recorder.record("websocket", ts=n - 0.002, received=float(n))
    (line,) = figure_of(recorder, 50).axes[0].lines
    assert list(line.get_xdata()) == list(range(950, 1_000))
    assert {round(float(ms), 6) for ms in line.get_ydata()} == {2.0}
    (line,) = figure_of(recorder, 5_000).axes[0].lines
    assert len(line.get_xdata()) == 1_000


@pytest.mark.skipif(chromium() is None, reason="no Chromium: install the chromium package")
async def test_the_ways_of_watching_take_turns():
    """Briefly: the numbers say nothing here, the way they come about does."""
    phases = await measure(seconds=0.2, repeats=2)
    assert [phase.name for phase in phases] == ["nothing", "live plot", "matplotlib"] * 2
    assert all(phase.cpu_percent > 0 for phase in phases)
