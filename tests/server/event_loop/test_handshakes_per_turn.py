from __future__ import annotations

import asyncio

from rtlab.server.event_loop.handshakes_per_turn import HandshakePacer


async def test_a_few_pass_in_each_turn_in_their_order() -> None:
    pacer, passed, turn = HandshakePacer(4), list[tuple[int, int]](), 0

    async def enter(n: int) -> None:
        await pacer.enter()
        passed.append((n, turn))

    tasks = [asyncio.create_task(enter(n)) for n in range(18)]
    gone = tasks.pop(5)
    await asyncio.sleep(0)
    gone.cancel()  # who has left takes no place
    while not all(task.done() for task in tasks):
        turn += 1
        await asyncio.sleep(0)
    assert [n for n, _ in passed] == [n for n in range(18) if n != 5]
    turns = [when for _, when in passed]
    assert max(turns.count(when) for when in set(turns)) == 4
    assert len(set(turns)) == 5
    await pacer.enter()  # alone: at once, and nothing is left behind


async def test_who_comes_alone_waits_for_nobody() -> None:
    pacer = HandshakePacer(1)
    for _ in range(3):
        entered = asyncio.create_task(pacer.enter())
        await asyncio.sleep(0)
        assert entered.done()
        await asyncio.sleep(0)
