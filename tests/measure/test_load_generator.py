"""Messages on a schedule: the moments, the stamps, and what is said when echoes stay away."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.client.connection import Connection
from rtlab.errors import LabError
from rtlab.measure.load_generator import poisson_times, send_on_schedule
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, welcome


def test_the_gaps_are_exponential_and_the_rate_is_not_left_to_chance() -> None:
    times = poisson_times(200, 4000, seed=3)
    gaps = np.diff(times, prepend=0.0)
    assert times[-1] == pytest.approx(20, rel=1e-3)
    assert gaps.std() == pytest.approx(1 / 200, rel=0.02)
    # Counts of 50 ms have the variance of a Poisson distribution: 10.
    assert np.histogram(times, np.arange(0, 20, 0.05))[0].var() == pytest.approx(10, rel=0.2)
    assert np.array_equal(times, poisson_times(200, 4000, seed=3))


@pytest.mark.parametrize(("rate", "count"), [(0, 1), (-1, 1), (np.inf, 1), (np.nan, 1), (1, 0)])
def test_moments_that_make_no_sense_are_refused(rate: float, count: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        poisson_times(rate, count)


class Echo:
    """Answers every n-th echo at once, stamped."""

    def __init__(self, every: int = 1) -> None:
        self.every, self.count = every, 0
        self.transport = MemoryTransport(welcome=welcome(), on_send=self.take)

    def take(self, message: Message) -> None:
        self.count += 1
        if self.count % self.every == 0:
            self.transport.push(Message("echo", message.payload, sent=7.0))


async def test_each_message_is_sent_when_due_and_has_its_own_stamps() -> None:
    seen: list[float] = []
    async with Connection(Factory(Echo().transport)) as conn:
        run = await send_on_schedule(conn, poisson_times(1000, 50), seen=seen.append)
    assert (run.sent >= run.due).all()
    assert (run.back >= run.sent).all()
    assert (run.handled == 7.0).all()
    assert sorted(seen) == run.due.tolist()
    assert (run.latency >= run.sent - run.due).all()


async def test_echoes_that_stay_away_are_an_error_that_counts_them() -> None:
    async with Connection(Factory(Echo(every=2).transport)) as conn:
        with pytest.raises(LabError, match=r"expected 10 echoes, got 5 in time"):
            await send_on_schedule(conn, poisson_times(1000, 10), timeout=1.0)
