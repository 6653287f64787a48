"""What runs together ends together."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.together import together


async def test_when_one_fails_the_others_have_ended_before_its_own_error_is_raised():
    ended: list[str] = []

    async def one() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)  # what it has to take down
            ended.append("other")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("run the cell again")

    with pytest.raises(LookupError, match="run the cell again") as raised:
        await together(one(), fails())
    assert raised.value.__context__ is None  # a group that holds it is a circle: IPython cannot show it
    assert ended == ["other"]


async def test_they_return_in_their_order():
    assert await together(asyncio.sleep(0.01, 1), asyncio.sleep(0, 2)) == [1, 2]
