"""What is read off a herd's curves."""

from __future__ import annotations

import pytest

from rtlab.experiments.reconnect.herd_result import HerdRun


def herd(attempts: list[float], accepted: list[float], bin_width: float = 0.5) -> HerdRun:
    return HerdRun.measured(
        "herd",
        clients=4,
        capacity=2.0,
        outage=1.0,
        duration=5.0,
        bin_width=bin_width,
        attempts=attempts,
        accepted=accepted,
        gave_up=0,
        longest_wait=0.0,
    )


def test_totals():
    run = herd([0.1, 0.1, 0.1, 0.1, 2.2, 2.3, 4.2, 4.4], [2.3, 4.4])
    assert (run.refused, run.all_in, run.share_in) == (6, None, 0.5)
    assert run.attempts_per_client == 2
    # Back at 1 s; served in two of the seven half seconds until 4.5 s.
    assert run.idle_share == pytest.approx(5 / 7)
    assert run.busiest_share() == 0.5  # while the server was away does not count
    assert repr(run).endswith("not all in, 2.0 attempts each, 50% in the busiest second>")


@pytest.mark.parametrize("bin_width", [0.05, 0.1, 0.5, 1.0])
def test_a_herd_in_lockstep_knocks_as_a_whole_in_any_second(bin_width: float):
    run = herd([2.0] * 4, [2.0] * 4, bin_width)
    assert run.busiest_share() == 1
    assert run.busiest_share(bin_width) == 1
    assert run.all_in == 2.0


def test_nobody_in_is_all_idle():
    assert herd([2.0], []).idle_share == 1
