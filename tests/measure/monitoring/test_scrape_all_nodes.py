"""The rules that the lab ships, over real nodes: quiet at rest, and the right one fires on a fault."""

from __future__ import annotations

import asyncio

from rtlab import Lab
from rtlab.measure.monitoring.alert_rules import DEFAULT_ALERTS
from rtlab.measure.monitoring.scrape_all_nodes import NodeWatch


def states_of(watch: NodeWatch, node: str) -> dict[str, str]:
    return {rule.name: watch.alerts.state(rule.name, node) for rule in DEFAULT_ALERTS}


async def until(watch: NodeWatch, looked: asyncio.Event, key: tuple[str, str]) -> None:
    async with asyncio.timeout(30):
        while key not in watch.alerts.firing:
            looked.clear()
            await looked.wait()


async def test_every_rule_knows_its_metrics_and_a_dead_node_is_seen() -> None:
    looked = asyncio.Event()
    async with Lab(nodes=2) as lab:
        async with NodeWatch(lab.urls, lab.token, interval=0.05, looked=looked.set) as watch:
            async with asyncio.timeout(30):
                while "no data" in (states := states_of(watch, "node-2")).values():
                    looked.clear()
                    await looked.wait()
            for name in ("node down", "connections broke", "queues grow", "messages dropped"):
                assert states[name] == "quiet"
            lab.kill(1)
            await until(watch, looked, ("node down", "node-2"))
            assert ("node down", "node-1") not in watch.alerts.fired
            assert watch.alerts.state("slow turns", "node-2") == "no data"
        await watch.stop()  # safe to repeat
