from __future__ import annotations

import asyncio

from rtlab.server.event_loop.work_slice_scheduler import Turns


class Writer:
    def __init__(self, now: list[float], cost: float = 0.0) -> None:
        self.flushes = 0
        self._now = now
        self._cost = cost

    def flush(self) -> None:
        self.flushes += 1
        self._now[0] += self._cost


def make(slice_seconds: float = 1.0) -> tuple[Turns, list[float]]:
    now = [0.0]
    return Turns(lambda: now[0], slice_seconds), now


async def test_what_is_written_in_one_turn_is_flushed_once_at_its_end() -> None:
    turns, now = make()
    writer = Writer(now)
    turns.write_at_end(writer)
    assert writer.flushes == 0
    await asyncio.sleep(0)
    assert writer.flushes == 1
    await asyncio.sleep(0)
    assert writer.flushes == 1


async def test_the_only_writer_need_not_wait_and_one_of_many_does() -> None:
    turns, now = make()
    alone, other = Writer(now), Writer(now)
    turns.enter(alone)
    assert not turns.spent()
    turns.write_at_end(alone)
    turns.settle(alone)
    assert alone.flushes == 1
    turns.enter(alone)
    turns.write_at_end(alone)
    turns.write_at_end(other)
    turns.settle(alone)
    assert (alone.flushes, other.flushes) == (1, 0)
    await asyncio.sleep(0)
    assert (alone.flushes, other.flushes) == (2, 1)


async def test_the_only_answer_to_a_single_message_leaves_before_its_other_work_is_done() -> None:
    turns, now = make()
    writer = Writer(now)
    turns.enter(writer, alone=True)
    turns.only_answer()
    turns.write_at_end(writer)
    assert writer.flushes == 1
    turns.only_answer()  # of a batch, the next answers leave together
    turns.write_at_end(writer)
    turns.write_at_end(writer)
    assert writer.flushes == 1
    turns.settle(writer)
    assert writer.flushes == 2


async def test_other_answers_leave_together() -> None:
    turns, now = make()
    writer = Writer(now)
    for alone in (True, False):
        turns.enter(writer, alone=alone)
        if not alone:
            turns.only_answer()
        turns.write_at_end(writer)
        before = writer.flushes
        turns.settle(writer)
        assert writer.flushes == before + 1


async def test_no_answer_leaves_at_once_where_others_wait() -> None:
    turns, now = make()
    writer, other = Writer(now), Writer(now)
    turns.enter(writer, alone=True)
    turns.only_answer()
    turns.write_at_end(other)
    turns.write_at_end(writer)
    turns.settle(writer)
    assert (writer.flushes, other.flushes) == (0, 0)
    await asyncio.sleep(0)
    assert (writer.flushes, other.flushes) == (1, 1)


async def test_a_writer_that_wrote_before_its_messages_were_handled_is_still_the_only_one() -> None:
    turns, now = make()
    writer = Writer(now)
    turns.write_at_end(writer)  # a pong
    turns.enter(writer)
    turns.write_at_end(writer)
    turns.settle(writer)
    assert writer.flushes == 1
    await asyncio.sleep(0)
    assert writer.flushes == 1


async def test_who_wrote_nothing_is_not_flushed_beside_others() -> None:
    turns, now = make()
    silent, other = Writer(now), Writer(now)
    turns.enter(silent)
    turns.write_at_end(other)
    turns.settle(silent)
    await asyncio.sleep(0)
    assert (silent.flushes, other.flushes) == (0, 1)


async def test_small_messages_add_up_to_a_turn_that_has_done_its_share() -> None:
    turns, now = make(slice_seconds=1.0)
    writer = Writer(now)
    for _ in range(20):
        turns.enter(writer)
        assert not turns.spent()
        now[0] += 0.0004
        turns.settle(writer)
    assert not turns.spent()
    now[0] += 1.0
    assert turns.spent()
    await asyncio.sleep(0)
    assert not turns.spent()


async def test_many_writes_are_cut_into_slices_and_keep_their_order() -> None:
    turns, now = make(slice_seconds=1.0)
    writers = [Writer(now, cost=0.1) for _ in range(64)]
    for writer in writers:
        turns.write_at_end(writer)
    await asyncio.sleep(0)
    done = [writer.flushes for writer in writers]
    assert done == [1] * 16 + [0] * 48
    for _ in range(3):
        await asyncio.sleep(0)
    assert all(writer.flushes == 1 for writer in writers)


async def test_a_turn_that_has_done_its_share_hands_the_rest_on_in_order() -> None:
    turns, now = make(slice_seconds=1.0)
    order: list[int] = []

    def act(n: int) -> int:
        order.append(n)
        now[0] += 0.6
        return n

    turns.write_at_end(Writer(now, cost=0.1))
    now[0] += 2.0
    assert turns.spent()
    results = [turns.later(lambda n=n: act(n)) for n in range(4)]
    assert turns.waiting == 4
    await asyncio.sleep(0)
    assert order == [0, 1]  # a second one was begun within the slice
    await asyncio.sleep(0)
    assert order == [0, 1, 2, 3]
    assert await asyncio.gather(*results) == [0, 1, 2, 3]
    assert not turns.spent()


async def test_an_action_that_fails_tells_who_asked_and_stops_nobody() -> None:
    turns, _ = make()

    def fail() -> int:
        raise ValueError("no")

    first, second = turns.later(fail), turns.later(lambda: 2)
    assert await second == 2
    assert isinstance(first.exception(), ValueError)
