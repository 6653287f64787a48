from __future__ import annotations

from rtlab.bench.peers.matplotlib_plot import figure_of
from rtlab.measure.recorder import Recorder


def test_it_draws_no_more_than_the_live_plot_shows():
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(1_000):
        recorder.record("websocket", ts=n - 0.002, received=float(n))
    (line,) = figure_of(recorder, 50).axes[0].lines
    assert list(line.get_xdata()) == list(range(950, 1_000))
    assert {round(float(ms), 6) for ms in line.get_ydata()} == {2.0}
    (line,) = figure_of(recorder, 5_000).axes[0].lines
    assert len(line.get_xdata()) == 1_000
