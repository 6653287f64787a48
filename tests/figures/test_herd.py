from __future__ import annotations

from dataclasses import replace

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.figures.herd import herd_figure
from rtlab.policies.backoff import FullJitter


def test_measured_herds_are_solid_and_simulated_ones_dashed():
    simulated = simulate(FullJitter(0.5, 4.0), Scenario(clients=200, outage=1.0, duration=30.0), label="herd")
    measured = replace(simulated, source="measured")
    figure = herd_figure([measured, simulated])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        f"herd, {run.source}: {run.attempts_per_client:.1f} attempts each" for run in (measured, simulated)
    ]
    assert [axes.get_xlabel() for axes in figure.axes] == ["time since the loss (s)"] * 2
    solid, dashed = figure.axes[0].lines[:2]
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert solid.get_color() == dashed.get_color()
