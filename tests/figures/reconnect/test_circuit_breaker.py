from __future__ import annotations

from rtlab.figures.reconnect.circuit_breaker import breaker_figure


def test_every_series_has_a_staircase_and_every_state_one_entry() -> None:
    changes = [(0.2, "open"), (0.5, "half-open"), (0.5, "open"), (0.8, "half-open"), (0.9, "closed")]
    figure = breaker_figure({"alone": [0.1, 0.3, 0.2], "shared": [0.1]}, 0.7, changes, title="clients")
    open_, half_open = figure.axes[0].lines[2:4]  # behind the two series' staircases
    assert half_open.get_linewidth() > open_.get_linewidth()  # else *open* covers it
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "down",
        "alone",
        "shared",
        "the shared breaker: open",
        "the shared breaker: half-open",
        "the shared breaker: closed",
    ]
    assert figure.png()
