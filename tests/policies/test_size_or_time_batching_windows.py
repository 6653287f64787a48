"""The windows alone: bounds, the closed form, and a control law that converges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.models.batching import batch_delay, batch_size, tick_delay
from rtlab.policies.size_or_time_batching_windows import (
    Adaptive,
    Batch,
    BatchWindow,
    FixedTick,
    SizeOrTimeout,
)


def run(
    window: BatchWindow, arrivals: np.ndarray, sizes: list[int] | None = None
) -> tuple[list[int], np.ndarray]:
    """Batch sizes, and the delay of each message, when the caller's timer is exact."""
    batch, now, batches, delays = window.start(), 0.0, [], []
    waiting: list[float] = []

    def leave(when: float) -> None:
        nonlocal batch
        batches.append(len(waiting))
        delays.extend(when - at for at in waiting)
        waiting.clear()
        batch = window.leave(batch, when)

    for n, at in enumerate(arrivals):
        now = float(at)
        size = sizes[n] if sizes else 64
        if waiting and batch.due <= now:
            leave(batch.due)
        if not window.has_room(batch, size):
            leave(now)
        batch = window.add(batch, size, now)
        waiting.append(now)
        assert batch.messages == len(waiting)
        if window.leaves(batch, now):
            leave(now)
    if waiting:
        leave(batch.due)
    return batches, np.array(delays)


def poisson(rate: float, count: int, seed: int = 1) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


@pytest.mark.parametrize(("rate", "wait", "limit"), [(200, 0.05, 10), (20, 0.05, 10), (1000, 0.01, 100)])
def test_size_or_timeout_follows_the_closed_form(rate: float, wait: float, limit: int):
    batches, delays = run(SizeOrTimeout(batch_size=limit, flush_interval=wait), poisson(rate, 60_000))
    assert np.mean(batches) == pytest.approx(batch_size(rate, wait, limit), rel=0.02)
    assert delays.mean() == pytest.approx(batch_delay(rate, wait, limit), rel=0.02)


def test_at_a_low_rate_the_delay_is_the_interval_and_not_half_of_it():
    _, first = run(SizeOrTimeout(flush_interval=0.1), poisson(0.1, 1000))
    _, tick = run(FixedTick(interval=0.1), poisson(0.1, 4000))
    assert first.mean() == pytest.approx(0.1, rel=0.02)
    assert tick.mean() == pytest.approx(tick_delay(0.1), rel=0.05)


@pytest.mark.parametrize("rate", [2, 200, 5000])
@pytest.mark.parametrize("start", [0.01, 1.0])
def test_adaptive_converges_to_its_target_from_either_side(rate: float, start: float):
    window = Adaptive(target=0.02, gain=0.1, batch_size=1_000_000, max_bytes=1 << 40)

    class Off(Adaptive):
        def start(self) -> Batch:
            return Batch(start * 2 * self.target)

    off = Off(
        target=window.target, gain=window.gain, batch_size=window.batch_size, max_bytes=window.max_bytes
    )
    batches, delays = run(off, poisson(rate, max(2000, int(rate * 20))))
    settled = sum(batches[: len(batches) // 2])
    assert delays[settled:].mean() == pytest.approx(0.02, rel=0.05)
    assert delays.max() <= 0.04 + 1e-9


def test_adaptive_follows_a_rate_that_changes_and_its_bound_holds_meanwhile():
    slow, fast = poisson(5, 500), poisson(2000, 60_000, seed=2)
    arrivals = np.concatenate([slow, slow[-1] + fast, slow[-1] + fast[-1] + poisson(5, 500, seed=3)])
    _, delays = run(Adaptive(target=0.02, batch_size=10_000, max_bytes=1 << 30), arrivals)
    for part in (delays[250:500], delays[10_000:60_000], delays[-250:]):
        assert part.mean() == pytest.approx(0.02, rel=0.06)
    assert delays.max() <= 0.04 + 1e-9


def test_adaptive_does_not_wind_up_while_batches_are_full():
    window = Adaptive(target=0.02, batch_size=2)
    batch = window.start()
    for n in range(1000):  # full at once: no delay at all
        batch = window.leave(window.add(window.add(batch, 1, n), 1, n), n)
    assert batch.wait == 0.04


def test_a_caller_that_comes_late_is_not_taken_for_a_long_wait():
    window = Adaptive(target=0.02)
    batch = window.add(window.start(), 1, 0.0)
    assert window.leave(batch, batch.due + 60).wait == window.leave(batch, batch.due).wait


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 120)), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(120, 400),
    st.sampled_from([SizeOrTimeout, FixedTick, Adaptive]),
)
def test_no_window_loses_a_message_or_passes_a_limit(steps, size, limit, kind):
    window = kind(batch_size=size, max_bytes=limit)
    arrivals = np.cumsum([gap for gap, _ in steps])
    sizes = [size_bytes for _, size_bytes in steps]
    batches, delays = run(window, arrivals, sizes)
    assert sum(batches) == len(delays) == len(steps)
    assert max(batches) <= size
    first = 0
    for count in batches:
        assert sum(sizes[first : first + count]) <= limit
        first += count
    assert delays.min() >= 0
    longest = 2 * window.target if isinstance(window, Adaptive) else window.start().wait
    assert delays.max() <= longest + 1e-9


@pytest.mark.parametrize("size", [0, -1, 2.5, True, math.inf, "10"])
@pytest.mark.parametrize("name", ["batch_size", "max_bytes"])
def test_a_limit_that_is_no_count_is_refused(name: str, size: object):
    with pytest.raises(ValueError, match=f"{name} to be a whole number"):
        SizeOrTimeout(**{name: size})


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf])
def test_a_wait_that_would_never_end_is_refused(seconds: float):
    for kind, name in ((SizeOrTimeout, "flush_interval"), (FixedTick, "interval"), (Adaptive, "target")):
        with pytest.raises(ValueError, match=name):
            kind(**{name: seconds})


def test_zero_leaves_at_once_where_that_has_a_meaning():
    window = SizeOrTimeout(flush_interval=0)
    assert window.leaves(window.add(window.start(), 1, 5.0), 5.0)
    with pytest.raises(ValueError, match="interval > 0"):
        FixedTick(interval=0)
    with pytest.raises(ValueError, match="gain"):
        Adaptive(gain=0)
