from __future__ import annotations

import math

import pytest

from rtlab.policies.leaky_bucket_queue import PacedQueue


def waits(queue: PacedQueue, *arrivals: float) -> list[float | None]:
    free_at, found = 0.0, list[float | None]()
    for now in arrivals:
        free_at, wait = queue.enter(free_at, now)
        found.append(None if wait is None else round(wait, 6))
    return found


def test_callers_who_come_together_are_served_one_after_the_other_and_the_rest_refused():
    assert waits(PacedQueue(10, 3), *[5.0] * 5) == [0.1, 0.2, 0.3, None, None]


def test_places_become_free_at_the_rate():
    assert waits(PacedQueue(10, 2), 1.0, 1.0, 1.0, 1.11, 1.12) == [0.1, 0.2, None, 0.19, None]


def test_callers_who_come_slower_than_the_rate_never_wait_for_others():
    assert waits(PacedQueue(10, 1), 0.0, 0.1, 0.25, 9.0) == [0.1] * 4


def test_in_a_long_run_the_rate_is_kept_exactly():
    queue = PacedQueue(1000, 7)
    served = [wait for wait in waits(queue, *(n / 3000 for n in range(30_000))) if wait is not None]
    assert len(served) == pytest.approx(10_000, abs=8)
    assert max(served) <= 0.0075


def test_a_queue_without_a_limit_refuses_nobody():
    assert waits(PacedQueue(10, math.inf), *[0.0] * 1000)[-1] == 100.0


def test_it_says_when_it_will_be_empty():
    queue = PacedQueue(10, 5)
    free_at = 0.0
    for _ in range(3):
        free_at, _ = queue.enter(free_at, 2.0)
    assert queue.drained_in(free_at, 2.1) == pytest.approx(0.2)
    assert queue.drained_in(free_at, 9.0) == 0


@pytest.mark.parametrize(("rate", "places"), [(0, 1), (math.inf, 1), (math.nan, 1), (1, 0), (1, math.nan)])
def test_what_makes_no_sense_is_refused(rate: float, places: float):
    with pytest.raises(ValueError, match="expected"):
        PacedQueue(rate, places)


def test_who_is_partly_served_still_has_its_place():
    assert waits(PacedQueue(10, 1), 0.0, 0.05, 0.099, 0.1) == [0.1, None, None, 0.1]
    assert waits(PacedQueue(10, 2), 0.0, 0.0, 0.05, 0.1) == [0.1, 0.2, None, 0.2]


def test_who_comes_when_a_place_becomes_free_is_let_in_although_times_are_rounded():
    for start in (0.0, 1e6, 1e9):
        queue, free_at, now = PacedQueue(1000.0, 1), 0.0, start
        for _ in range(1000):
            free_at, wait = queue.enter(free_at, now)
            assert wait is not None
            now += wait
