from __future__ import annotations

import math

import pytest

from rtlab.measure.monitoring.metrics_history import MetricsHistory
from rtlab.measure.monitoring.metrics_page import MetricsPage


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
    assert above.share_above(0.15, "t", 60) == pytest.approx(0.02)


def test_old_pages_are_forgotten() -> None:
    looks = MetricsHistory(keep=2.0)
    for n in range(10):
        looks.add(float(n), page(n))
    assert len(looks) == 3
    looks.add(10.0, None)
    assert not looks.up
