from __future__ import annotations

import asyncio

import pytest

from rtlab.server.maybe_awaitable_values import InOrder, settled, then


def test_what_is_there_is_used_at_once() -> None:
    assert then(1, lambda n: n + 1, lambda error: 0) == 2


async def test_what_comes_later_is_used_later() -> None:
    first: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    result = then(first, lambda n: n + 1, lambda error: 0)
    first.set_result(1)
    assert await settled(result) == 2


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_failure_goes_to_who_handles_it(cancel: bool) -> None:
    first: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    result = then(first, lambda n: n, lambda error: -1)
    if cancel:
        first.cancel()
    else:
        first.set_exception(ValueError("no"))
    assert await settled(result) == -1


def test_actions_that_answer_at_once_are_calls() -> None:
    order = InOrder()
    assert [order.run(lambda n=n: n) for n in range(3)] == [0, 1, 2]
    assert order.waiting == 0


async def test_the_next_begins_when_the_one_before_has_its_answer() -> None:
    order, begun = InOrder(), list[str]()
    answers: dict[str, asyncio.Future[str]] = {}

    def later(name: str) -> asyncio.Future[str]:
        begun.append(name)
        answers[name] = asyncio.get_running_loop().create_future()
        return answers[name]

    def at_once(name: str) -> str:
        begun.append(name)
        return name

    results = [
        order.run(lambda: later("a")),
        order.run(lambda: at_once("b")),
        order.run(lambda: later("c")),
        order.run(lambda: at_once("d")),
    ]
    await asyncio.sleep(0)
    assert (begun, order.waiting) == (["a"], 4)
    answers["a"].set_result("a")
    await settled(results[1])
    assert begun == ["a", "b", "c"]
    answers["c"].set_result("c")
    assert [await settled(result) for result in results] == ["a", "b", "c", "d"]
    assert (begun, order.waiting) == (["a", "b", "c", "d"], 0)


async def test_who_waits_no_longer_does_not_let_others_overtake() -> None:
    order, begun = InOrder(), list[str]()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(settled(order.run(lambda: answer)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    result = order.run(lambda: begun.append("next"))
    await asyncio.sleep(0)
    assert begun == []
    answer.set_result(None)
    await settled(result)
    assert begun == ["next"]


async def test_one_that_raises_does_not_stop_the_others() -> None:
    order = InOrder()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    first = order.run(lambda: answer)
    second = order.run(lambda: 1 // 0)
    third = order.run(lambda: "well")
    answer.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await settled(first)
    with pytest.raises(ZeroDivisionError):
        await settled(second)
    assert await settled(third) == "well"
