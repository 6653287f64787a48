"""A queue with a fixed service: played against the closed forms, and one on a real server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rtlab.errors import LabError
from rtlab.experiments.throughput.overloaded_queue import play_overflow, queue_waits, serve_poisson
from rtlab.lab.lab import Lab
from rtlab.measure.load_generator import poisson_times
from rtlab.models import queue_length_and_loss as model


def test_waits_are_those_of_the_closed_form_and_of_the_played_queue() -> None:
    arrivals = poisson_times(70, 50_000)
    waits = queue_waits(arrivals, 0.01)
    assert waits.mean() == pytest.approx(model.queue_wait(70, 100), rel=0.05)
    played = play_overflow("drop_oldest", arrivals[:2000], 0.01, 10**6)
    assert played.age == pytest.approx(waits[:2000], abs=1e-9)
    assert played.dropped == 0


def test_an_overloaded_queue_loses_the_same_share_and_makes_it_old_by_its_length() -> None:
    arrivals = np.arange(4000) / 200
    for bound in (10, 100):
        newest = play_overflow("drop_newest", arrivals, 0.01, bound)
        assert newest.dropped + len(newest.taken) == 4000
        assert newest.dropped / 4000 == pytest.approx(0.5, abs=0.03)
        assert newest.age.max() == pytest.approx(bound / 100, rel=0.02)
        assert play_overflow("conflate:key", arrivals, 0.01, bound, keys=5).age.max() <= 5 / 100


async def test_a_real_consumer_gets_all_of_them_and_waits_no_less_than_its_arrivals_make_it() -> None:
    async with Lab() as lab:
        served = await serve_poisson(lab, poisson_times(400, 100, seed=1), 0.004)
    assert len(served.waited) == len(served.arrived) == 100
    assert np.all(served.waited > served.expected - 0.002)


async def test_a_lost_server_is_said_plainly() -> None:
    async with asyncio.timeout(60), Lab() as lab:
        run = asyncio.create_task(serve_poisson(lab, poisson_times(100, 3000, seed=1), 0.004))
        while (await lab.stats())["messages_published"] < 10:
            await asyncio.sleep(0.01)
        lab.kill()
        with pytest.raises(LabError, match="expected 3000 messages, got"):
            await run
