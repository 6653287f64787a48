from __future__ import annotations

from dataclasses import replace

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.figures.herd import herd_figure, storm_figure
from rtlab.figures.palette import POLICY_COLORS
from rtlab.policies.backoff import Constant, FullJitter


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


def run(label: str):
    return simulate(FullJitter(0.5, 4.0), Scenario(clients=200, outage=1.0, duration=10.0), label=label)


def test_a_policy_has_its_colour_and_its_variants_their_dashes():
    figure = herd_figure([run("full jitter, 503"), run("full jitter, silent"), run("equal jitter")])
    lines = figure.axes[1].lines[:3]
    blue, green = POLICY_COLORS["full jitter"], POLICY_COLORS["equal jitter"]
    assert [line.get_color() for line in lines] == [blue, blue, green]
    assert [line.get_linestyle() for line in lines[:2]] == ["-", "--"]


def test_where_all_herds_are_of_one_policy_each_has_a_colour():
    figure = herd_figure([run("full jitter, no limit"), run("full jitter, 300"), run("full jitter, 60 s")])
    lines = figure.axes[0].lines[:3]
    assert len({line.get_color() for line in lines}) == 3
    assert {line.get_linestyle() for line in lines} == {"--"}  # simulated


def test_a_herd_in_lockstep_is_a_whole_herd_over_any_width():
    even = Scenario(clients=200, outage=2.5, duration=10.0, bin_width=0.1)
    figures = [
        storm_figure([simulate(Constant(1.0), replace(even, bin_width=width), label="x")], until=8.0)
        for width in (0.05, 0.25)
    ]
    tops = [max(figure.axes[0].lines[0].get_ydata()) for figure in figures]
    assert tops == [100, 100]
    assert figures[0].axes[0].get_xlim() == (0, 8)


def test_storms_have_a_panel_each():
    figure = storm_figure(
        [run(name) for name in ("linear", "exponential", "full jitter", "other")], title="Four"
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "linear",
        "exponential",
        "full jitter",
        "other",
    ]


def test_a_race_that_was_stopped_is_said_in_words():
    assert all("Run its cell again" in axes.texts[0].get_text() for axes in herd_figure([]).axes)
