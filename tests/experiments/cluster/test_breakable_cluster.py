"""A cluster that is broken and healed; a message's way through it; and what a death costs."""

from __future__ import annotations

import asyncio

import httpx

from rtlab.experiments.cluster.breakable_cluster import BreakableCluster
from rtlab.experiments.cluster.message_path_timestamps import follow_messages
from rtlab.experiments.cluster.node_death_losses import MODES, break_cluster, death_table


async def test_a_way_a_death_and_a_cut() -> None:
    cluster = await BreakableCluster.start()
    try:
        await _the_way(cluster)
        await _a_death(cluster)
        await _a_cut_link(cluster)
    finally:
        await cluster.stop()
    assert cluster not in BreakableCluster.running()


async def _the_way(cluster: BreakableCluster) -> None:
    rooms = [cluster.room(owner) for owner in (cluster.victim, 0)]
    args = (cluster.ws_urls, cluster.broker.url, cluster.lab.token, rooms)
    elsewhere, here = await follow_messages(*args, count=5)
    assert len(elsewhere) == len(here) == 5
    for way in elsewhere:  # nothing before its cause
        assert way.forward is not None
        assert way.reply is not None
        assert 0 < way.forward <= way.out <= min(way.reply, way.came)
        assert way.reply <= way.ack
    assert {(way.forward, way.reply) for way in here} == {(None, None)}


async def _a_death(cluster: BreakableCluster) -> None:
    rows = await break_cluster(cluster, "kill -9 of the owner", before=0.1, hold=30)
    by_mode = {row.mode: row for row in rows}
    assert tuple(by_mode) == MODES
    assert by_mode["effectively_once"].duplicates == 0
    for row in rows:
        assert 0 < row.recovery < 30
        assert row.resyncs >= 1
        assert row.promised == row.sent
    assert list(death_table(rows)["silent_loss"]) == [0, 0, 0]
    assert len((await cluster.lab.stats(0))["cluster"]["nodes"]) == 3  # healed


async def _a_cut_link(cluster: BreakableCluster) -> None:
    url = cluster.urls[cluster.victim]
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
        async with cluster.link.stall():
            while (ready := await http.get(f"{url}/readyz")).status_code == 200:
                await asyncio.sleep(0.05)
            assert ready.json() == {"status": "no broker"}
            assert (await http.get(f"{url}/healthz")).status_code == 200
        while (await http.get(f"{url}/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
