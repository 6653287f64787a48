"""The shipped windows, played: closed forms over them, and what an adaptive one learns."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.experiments.throughput.batched_server_simulation import play_window
from rtlab.measure.load_generator import poisson_times
from rtlab.models.batching import batch_delay, batch_size, loaded_delay
from rtlab.policies.size_or_time_batching_windows import Adaptive, FixedTick, SizeOrTimeout

ARRIVALS = poisson_times(200, 20_000, seed=1)


@pytest.mark.parametrize(("wait", "limit"), [(0.05, 10), (0.005, 100), (0.2, 4)])
def test_a_played_window_agrees_with_the_closed_form(wait: float, limit: int) -> None:
    seen = play_window(SizeOrTimeout(batch_size=limit, flush_interval=wait), ARRIVALS)
    assert seen.sizes.sum() == len(ARRIVALS)
    assert seen.sizes.mean() == pytest.approx(batch_size(200, wait, limit), rel=0.02)
    assert seen.added.mean() == pytest.approx(batch_delay(200, wait, limit), rel=0.02)
    assert seen.added.min() >= 0


def test_a_tick_adds_half_of_itself() -> None:
    seen = play_window(FixedTick(batch_size=10_000, interval=0.05), ARRIVALS)
    assert seen.added.mean() == pytest.approx(0.025, rel=0.03)


def test_near_saturation_a_small_wait_lowers_the_whole_delay_and_the_model_bounds_it() -> None:
    costs = {"per_frame": 0.0045, "per_message": 0.0004}  # 98 % of the server at 200/s
    alone = play_window(SizeOrTimeout(batch_size=1), ARRIVALS, **costs).total.mean()
    batched = play_window(SizeOrTimeout(batch_size=1000, flush_interval=0.02), ARRIVALS, **costs).total.mean()
    assert batched < 0.4 * alone
    assert batched <= 1.02 * loaded_delay(200, 0.02, 1000, **costs)
    assert batched >= 0.8 * loaded_delay(200, 0.02, 1000, **costs)


def test_an_adaptive_window_holds_its_target_while_the_rate_changes() -> None:
    times = np.concatenate(
        [poisson_times(20, 400), 20 + poisson_times(400, 8000), 40 + poisson_times(20, 400)]
    )
    seen = play_window(Adaptive(batch_size=1000, target=0.02), np.sort(times))
    frame = np.repeat(seen.left, seen.sizes)
    for begin in (5, 25, 50):
        here = seen.added[(frame > begin) & (frame < begin + 10)]
        assert here.mean() == pytest.approx(0.02, rel=0.15)
    assert seen.added.max() <= 2 * 0.02 + 1e-9
