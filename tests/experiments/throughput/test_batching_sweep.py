"""The sweep on a real server, and one freeze seen by two loops: what was counted, not how fast it was."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.errors import LabError
from rtlab.experiments.throughput.batching_sweep import sweep_batching
from rtlab.lab.lab import Lab
from rtlab.patterns.message_batcher import MessageBatcher


def make(conn, window):
    return MessageBatcher(conn, window=window)


async def test_a_lost_server_is_said_plainly() -> None:
    async with asyncio.timeout(60), Lab() as lab:
        run = asyncio.create_task(
            sweep_batching(lab, make, rates=[100], waits=[0.05], limits=[4], messages=3000, seconds=30)
        )
        while (await lab.stats())["messages_received"] < 10:
            await asyncio.sleep(0.01)
        lab.kill()
        with pytest.raises(LabError, match="a client of the sweep lost the server"):
            await run


@pytest.mark.alone  # messages that leave late because the machine is busy are refused
async def test_every_cell_has_its_messages_and_full_batches_are_full() -> None:
    async with Lab() as lab:
        points = await sweep_batching(
            lab, make, rates=[100, 400], waits=[5.0], limits=[4], messages=128, seconds=0.32
        )
    assert [(p.rate, p.wait, p.limit, p.messages) for p in points] == [(100, 5.0, 4, 128), (400, 5.0, 4, 128)]
    assert [p.per_frame for p in points] == [4, 4]  # T is too long to play a part
    # (B − 1)/(2λ) is 15 and 3.75 ms. A loop that is held up sends late what was due, all at once, so that it
    # waits less: the law itself is held against a quiet machine, by ``rtlab bench`` and notebook 11.
    assert 0.0075 < points[0].delay < 0.03
    assert points[0].delay > points[1].delay > 0
    assert [p.late for p in points] == [0, 0]
    assert points[0].handled > 0
