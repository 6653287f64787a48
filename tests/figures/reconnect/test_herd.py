from __future__ import annotations

from dataclasses import replace

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.figures.chart_style.palette import POLICY_COLORS
from rtlab.figures.reconnect.herd import herd_figure, storm_figure
from rtlab.policies.backoff import Constant, FullJitter


def test_measured_herds_are_solid_and_simulated_ones_dashed():
    simulated = simulate(FullJitter(0.5, 4.0), Scenario(clients=200, outage=1.0, duration=30.0), label="herd")
    measured = replace(simulated, source="measured")
    figure = herd_figure([measured, simulated])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        *(
            f"herd, {run.source}: {run.attempts_per_client:.1f} attempts each"
            for run in (measured, simulated)
        ),
        "what the server can do, μ",
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


def test_simulated_herds_that_do_the_same_are_all_seen():
    figure = herd_figure([run(f"full jitter, {name}") for name in "abc"])
    for axes in figure.axes:
        seen = {line.get_color(): 0 for line in axes.lines[:3]}
        for tenth in range(90):  # of a pattern's length, in line widths; the last line lies on top
            at = tenth / 10
            for line in axes.lines[2::-1]:
                offset, (dash, gap) = line._unscaled_dash_pattern
                assert dash + gap == 9
                if (at + offset) % 9 < dash:
                    seen[line.get_color()] += 1
                    break
        assert min(seen.values()) >= 15
        assert sum(seen.values()) == 90  # and no gap is common to all
    lines = figure.legends[0].get_lines()
    assert [line.get_linestyle() for line in lines] == ["--", "--", "--", "-."]


def test_what_the_server_can_do_is_above_the_axis():
    herd = simulate(FullJitter(0.5, 4.0), Scenario(clients=200, capacity=40, outage=1.0, duration=10.0))
    weak = replace(herd, label="weak", capacity=1.0)
    for runs, shares, scale in (([herd], [5], "linear"), ([weak, herd], [0.125, 5], "symlog")):
        axes = herd_figure(runs).axes[0]
        lines = [line for line in axes.lines if line.get_label() == "what the server can do, μ"]
        assert [line.get_ydata()[0] for line in lines] == shares
        assert axes.get_yscale() == scale
        bottom, at = axes.transData.transform([(0, 0), (0, shares[0])])[:, 1]
        assert at - bottom > 0.01 * axes.bbox.height


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
