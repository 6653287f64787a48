from __future__ import annotations

import math

import pytest

from rtlab.errors import LabError
from rtlab.measure.monitoring.alert_expression_parser import Expression
from rtlab.measure.monitoring.alert_rules import Alert, Alerts
from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory
from rtlab.measure.monitoring.prometheus_text_parser import MetricsPage


def page(total: float = 0, depth: float = 0, counts: tuple[int, ...] = (0, 0, 0)) -> MetricsPage:
    below = [sum(counts[: n + 1]) for n in range(3)]
    return MetricsPage.parse(
        f"# TYPE n counter\nn_total {total}\n# TYPE depth gauge\ndepth {depth}\n# TYPE t histogram\n"
        + "".join(f't_bucket{{le="{le}"}} {c}\n' for le, c in zip(("0.1", "0.2", "+Inf"), below, strict=True))
        + f"t_count {below[-1]}\nt_sum 1\n"
    )


def history(*looks: tuple[float, MetricsPage]) -> MetricsHistory:
    made = MetricsHistory()
    for at, found in looks:
        made.add(at, found)
    return made


def test_one_look_knows_no_rate() -> None:
    alone = history((1.0, page(7)))
    assert alone.value("n_total") == 7
    assert math.isnan(alone.rate("n_total", 5))
    assert math.isnan(alone.quantile(0.5, "t", 5))


def test_a_rate_looks_back_as_far_as_it_is_told() -> None:
    looks = history((0.0, page(0)), (1.0, page(100)), (2.0, page(110)), (3.0, page(120)))
    assert looks.rate("n_total", 2) == 10
    assert looks.rate("n_total", 60) == 40


def test_a_counter_that_fell_began_again() -> None:
    looks = history((0.0, page(100)), (1.0, page(3)), (2.0, page(5)))
    assert looks.increase("n_total", 60) == 5


def test_growth_is_of_a_gauge_and_may_be_negative() -> None:
    assert history((0.0, page(depth=9)), (2.0, page(depth=3))).growth("depth", 60) == -3


def test_a_percentile_is_of_what_came_meanwhile() -> None:
    looks = history((0.0, page(counts=(90, 0, 0))), (1.0, page(counts=(90, 10, 0))))
    assert looks.quantile(0.5, "t", 60) == pytest.approx(0.15)
    assert looks.share_above(0.1, "t", 60) == 1
    above = history((0.0, page()), (1.0, page(counts=(98, 0, 2))))
    assert above.quantile(0.99, "t", 60) == 0.2  # the highest bound stands for all above it
    assert above.share_above(0.2, "t", 60) == pytest.approx(0.02)


@pytest.mark.parametrize("between", [0.0999, 0.15, 0.3])
def test_a_share_above_what_is_no_bound_is_refused(between: float) -> None:
    looks = history((0.0, page()), (1.0, page(counts=(50, 0, 50))))
    with pytest.raises(LabError, match=r"upper bound of t's buckets, one of 0\.1, 0\.2, got"):
        looks.share_above(between, "t", 60)
    with pytest.raises(LabError, match=r"0\.1, 0\.2"):
        Expression(f"burn(t, within={between}, objective=0.99) > 0").holds(looks)


def test_old_pages_are_forgotten() -> None:
    looks = MetricsHistory(keep=2.0)
    for n in range(10):
        looks.add(float(n), page(n))
    assert len(looks) == 3
    looks.add(20.0, None)
    assert len(looks) == 1
    assert looks.newest is None
    assert not looks.up


def test_what_was_recorded_is_shown_again_as_it_grew() -> None:
    history = MetricsHistory()
    for at in range(3):
        history.add(at, MetricsPage.parse(f"# TYPE x counter\nx_total {at}\n"))
    assert [(at, len(seen), seen.value("x_total")) for at, seen in history.replay()] == [
        (0, 1, 0),
        (1, 2, 1),
        (2, 3, 2),
    ]


def test_a_rule_finds_a_silent_server_in_the_record() -> None:
    recorded = history((0.0, page(1)), (1.0, page(9)))
    recorded.add(2.0, None)
    recorded.add(3.0, page(9))
    alerts = Alerts([Alert("down", "up == 0", "…"), Alert("many", "n_total > 8", "…")])
    for at, seen in recorded.replay():
        alerts.look("node", seen, at)
    assert alerts.fired == {("down", "node"): 2.0, ("many", "node"): 1.0}
    assert alerts.state("down", "node") == "quiet"
