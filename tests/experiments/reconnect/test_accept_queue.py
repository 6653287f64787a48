from __future__ import annotations

import sys

import pytest

from rtlab.experiments.reconnect.accept_queue import overflow_accept_queue


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse by a reset")
async def test_linux_says_nothing_to_who_finds_the_accept_queue_full():
    found = await overflow_accept_queue(3, 10)
    assert found == (4, 0, 6)


async def test_a_queue_with_room_takes_all():
    found = await overflow_accept_queue(20, 10, seconds=0.2)
    assert found == (10, 0, 0)
