"""The explorer on a real server: knobs turned while it runs, what is counted, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rtlab.errors import InvalidState, RtlabError
from rtlab.lab.lab import Lab
from rtlab.widgets.batching_explorer import BatchingExplorer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True) as running:
        yield running


async def counted(explorer: BatchingExplorer) -> dict[str, float]:
    """Wait until the panel shows counts of the present setting."""
    async with asyncio.timeout(20):
        while "per_frame" not in explorer.panel.found:
            await explorer.wait(0.05)
    return explorer.panel.found


async def cut_while_it_runs(explorer: BatchingExplorer, lab: Lab) -> None:
    async with explorer:
        await counted(explorer)
        await lab.faults.cut()
        await explorer.wait(10)


async def test_what_is_counted_belongs_to_the_setting_in_force(lab: Lab) -> None:
    explorer = BatchingExplorer(lab, rate=500, size=1, wait=500)
    async with explorer:
        alone = await counted(explorer)
        assert alone["per_frame"] == 1
        explorer.set(size=5, rtt=100)
        assert explorer.panel.found == {}
        five = await counted(explorer)
        # T is too long to play a part: frames are full, but for one that a stall of the machine closed.
        assert 4.5 < five["per_frame"] <= 5
        assert five["delay_ms"] > alone["delay_ms"]
        assert five["server_us"] > 0
        assert len((await lab.faults.status())["toxics"]) == 2
    assert (await lab.faults.status())["toxics"] == []
    assert explorer.panel.running is False
    assert explorer.recorder.statistics()["samples"] > 50
    assert [mark.kind for mark in explorer.recorder.marks].count("setting") == 2
    async with explorer:  # and again
        await counted(explorer)


async def test_stop_ends_the_wait_and_a_lost_connection_is_an_error(lab: Lab) -> None:
    explorer = BatchingExplorer(lab, rate=50)
    with pytest.raises(InvalidState, match="a running explorer"):
        await explorer.wait(1)
    async with explorer:
        await counted(explorer)
        explorer.plot._handle_custom_msg({"kind": "stop"}, [])
        assert await explorer.wait(10) is True
    with pytest.raises(RtlabError):
        await cut_while_it_runs(explorer, lab)
    assert "ended" in explorer.panel.status
