"""What becomes of a POST that comes again, before and after the first one was answered."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.server.sessions.post_deduplication import PostAnswer, PostDeduplication


async def test_a_repeat_waits_for_the_first_ones_answer():
    posts = PostDeduplication()
    assert posts.begin(1)
    assert not posts.begin(1)
    waiting = [asyncio.create_task(posts.answer(1)) for _ in range(2)]
    gone = asyncio.create_task(posts.answer(1))
    await asyncio.sleep(0)
    gone.cancel()  # one that gives up takes nothing from the others
    await asyncio.sleep(0)
    posts.settle(1, PostAnswer(200, b"done"))
    assert await asyncio.gather(*waiting) == [PostAnswer(200, b"done")] * 2
    assert await posts.answer(1) == PostAnswer(200, b"done")


async def test_what_is_older_than_the_newest_is_no_new_one():
    posts = PostDeduplication()
    assert posts.begin(5)
    waiting = asyncio.create_task(posts.answer(5))
    await asyncio.sleep(0)
    assert posts.begin(6)
    assert await waiting is None  # nobody waits for ever
    posts.settle(5, PostAnswer(200, b"late"))
    assert not posts.begin(5)
    assert await posts.answer(5) is None


@pytest.mark.parametrize("key", ["", "-1", "1.5", "٣", "9" * 21, "5e3", '"8"'])
def test_keys_that_are_no_numbers_of_ours(key):
    assert PostDeduplication.number(key) is None
