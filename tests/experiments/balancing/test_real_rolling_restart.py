from __future__ import annotations

import asyncio

import pytest

from rtlab.experiments.balancing.real_rolling_restart import RollingRestart, real_rolling_restart
from rtlab.lab.haproxy_load_balancer import Balancer
from rtlab.lab.lab import Lab


@pytest.mark.skipif(not Balancer.installed(), reason="HAProxy is not installed: apt install haproxy")
async def test_who_starts_before_draining_moves_each_client_once() -> None:
    async with asyncio.timeout(90), Lab(nodes=3, stop_window=0.0) as lab:
        worse = await real_rolling_restart(lab, "round_robin", clients=12)
        lab.kill(1)  # what an interrupt in the middle of a restart leaves behind
        better = await real_rolling_restart(lab, "least_connections", clients=12, spare=2)
    # In turns: 4 move, then 6, then 9.
    assert worse.loads[0] == [4, 4, 4]
    assert worse.loads[-1][-1] == 0
    assert abs(len(worse.reconnects) - 19) <= 1
    assert (len(better.reconnects), better.loads) == (12, [[6, 6, 0], [0, 6, 6], [6, 0, 6]])


def test_the_busiest_moment() -> None:
    assert RollingRestart([], [0.0, 1.0, 1.05, 1.09, 1.2], 5).busiest(0.1) == 3
    assert RollingRestart([], [], 5).busiest() == 0
