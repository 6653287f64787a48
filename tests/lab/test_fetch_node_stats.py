from __future__ import annotations

import asyncio

import pytest

from rtlab.errors import LabError
from rtlab.lab.lab import Lab

TIMEOUT = 30.0


@pytest.mark.parametrize("tls", [False, True])
async def test_it_reads_its_servers_counts_also_over_tls(tls: bool):
    async with asyncio.timeout(TIMEOUT), Lab(nodes=2, tls=tls) as lab:
        counts = [await lab.stats(node) for node in range(2)]
        assert [one["pid"] for one in counts] == lab.pids[:2]  # the third is the balancer
        assert counts[0]["connections"]["websocket"] == 0


async def test_counts_that_cannot_be_read_say_why(monkeypatch: pytest.MonkeyPatch):
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        monkeypatch.setattr(lab, "_token", "wrong")
        with pytest.raises(LabError, match="401"):
            await lab.stats()
