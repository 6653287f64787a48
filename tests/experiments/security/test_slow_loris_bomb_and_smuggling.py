"""Requests without an end, a bomb, a smuggled request: they get past the naive setting, not the right one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rtlab.experiments.security.slow_loris_bomb_and_smuggling import (
    Smuggled,
    compression_bomb,
    slow_loris,
    smuggle_past_nginx,
)
from rtlab.lab.lab import Lab
from rtlab.processes.find_program import find_program

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def naive() -> AsyncIterator[Lab]:
    async with Lab(security="naive", header_timeout=0.3, compression=True) as lab:
        yield lab


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def right() -> AsyncIterator[Lab]:
    async with Lab(security="right", header_timeout=0.3, compression=True) as lab:
        yield lab


async def test_half_a_handshake_stands_for_ever_or_until_its_time(naive: Lab, right: Lab) -> None:
    assert await slow_loris(right, 20, 30.0) == 0
    assert await slow_loris(naive, 20, 1.5) == 20


async def test_a_body_that_never_ends(naive: Lab, right: Lab) -> None:
    assert await slow_loris(right, 5, 30.0, part="body") == 0
    assert await slow_loris(naive, 5, 1.0, part="body") == 5


async def test_a_bomb_is_counted_while_it_is_inflated_or_fills_the_memory(naive: Lab, right: Lab) -> None:
    bomb = await compression_bomb(right)
    assert bomb.close_code == 1009
    assert bomb.sent_bytes * 1000 < bomb.claimed_bytes
    assert bomb.grown_bytes < 8 << 20
    assert (await compression_bomb(naive)).grown_bytes >= 64 << 20


@pytest.mark.skipif(find_program("nginx") is None, reason="nginx is not installed: apt-get install nginx")
async def test_a_request_behind_an_upgrade_that_is_none(naive: Lab, right: Lab) -> None:
    assert await smuggle_past_nginx(naive) == Smuggled(403, 101, 200)
    assert await smuggle_past_nginx(right) == Smuggled(403, 426, 403)
