"""A wait that is too short says for what; an error of the block's own stays what it is."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.timeout_error_messages import within


async def test_the_words_are_asked_for_when_it_is_too_late():
    left = [3]

    async def work() -> None:
        async with within(0.0, lambda: f"{left[0]} are left"):
            left[0] = 2
            await asyncio.sleep(3600)

    with pytest.raises(TimeoutError, match="after 0 s: 2 are left"):
        await work()


async def test_what_the_block_raises_is_not_its_timeout():
    with pytest.raises(TimeoutError, match="its own"):
        async with within(60, lambda: "too late"):
            raise TimeoutError("its own")
    async with within(None, lambda: "never"):
        pass
