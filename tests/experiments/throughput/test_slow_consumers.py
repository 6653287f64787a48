"""One stall, and what each policy makes of it: counts and order, not how long it took."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.experiments.throughput.slow_consumers import PolicyRun, stall_consumers
from rtlab.lab.lab import Lab
from rtlab.measure.delivery_ledger import Anomalies
from rtlab.measure.recorder import Recorder


async def test_each_policy_holds_its_bound_and_says_what_it_dropped() -> None:
    rooms = {"drop_oldest": "old", "conflate": "last", "disconnect": "any"}
    recorder = Recorder()
    async with Lab(
        faults=True,
        overflow=["old=drop_oldest", "last=conflate:key"],
        write_limit_messages=5,
        write_limit_bytes=4_000_000,
        send_buffer_bytes=16_384,
        backlog_bytes=4_000_000,
    ) as lab:
        # Far more than the transports hold, so that a busy machine's late start changes nothing.
        load = {"rate": 50, "begin": 0.1, "stall": 2.0, "seconds": 2.3, "service": 0, "size": 20_000}
        runs = await stall_consumers(lab, rooms, recorder=recorder, **load)
        assert (await lab.faults.status())["toxics"] == []
    assert list(runs) == list(rooms)
    for run in runs.values():
        assert run.numbers == list(range(115))
        assert run.account.names == ()
        assert len(run.others) == len(run.published) == 115
    assert runs["drop_oldest"].account.dropped > 0
    assert runs["drop_oldest"].most_waiting <= 5
    assert runs["conflate"].account.dropped > 0  # how many depends on what each transport had taken by then
    assert runs["disconnect"].account.dropped == 0
    assert runs["disconnect"].connects >= 2  # a machine that stops again after the stall has it cut off again
    counts = {name: row["samples"] for name, row in recorder.statistics()["series"].items()}
    assert counts == {name: run.account.received for name, run in runs.items()}


def test_the_age_is_that_of_the_newest_message_whatever_came_last() -> None:
    came = np.array([[0, 0.1], [2, 0.5], [1, 0.6]])
    nothing = np.zeros((0, 2))
    run = PolicyRun(
        "drop_oldest",
        (0.2, 0.4),
        np.array([0.0, 0.1, 0.45]),
        np.zeros(3),
        came,
        nothing,
        ((3, 4),),
        nothing,
        Anomalies("consumer", "publisher"),
        1,
    )
    age = run.age(np.array([0.05, 0.3, 0.7]))
    assert np.isnan(age[0])
    assert age[1:] == pytest.approx([0.3, 0.25])
    assert run.fresh_again(0.1) == np.inf
    assert run.numbers == [0, 1, 2, 3, 4]
    assert run.most_waiting == 0


async def test_a_stall_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 < begin"):
        await stall_consumers(Lab(faults=True), {}, seconds=1, stall=1)
