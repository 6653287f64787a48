"""The emitter: order, once, off, and handlers that raise."""

from __future__ import annotations

import asyncio
import functools
import gc

import pytest

from rtlab.client.event_emitter import Emitter


def test_handlers_are_called_in_the_order_they_were_added():
    emitter, seen = Emitter(), []
    for n in range(3):
        emitter.on("x", lambda _, n=n: seen.append(n))
    assert emitter.emit("x", None) == []
    assert seen == [0, 1, 2]


def test_once_is_once_even_when_it_emits_again():
    emitter, seen = Emitter(), []

    def again(value):
        seen.append(value)
        emitter.emit("x", value + 1)

    emitter.once("x", again)
    emitter.emit("x", 1)
    emitter.emit("x", 5)
    assert seen == [1]
    assert "x" not in emitter.names


def test_once_beside_on_of_the_same_handler_leaves_that_one():
    emitter, seen = Emitter(), []
    emitter.on("x", seen.append)
    emitter.once("x", seen.append)
    emitter.emit("x", 1)
    emitter.emit("x", 2)
    assert seen == [1, 1, 2]


def test_once_is_once_when_an_earlier_handler_emits_again():
    emitter, seen = Emitter(), []
    emitter.on("x", lambda value: value and emitter.emit("x", value - 1))
    emitter.once("x", seen.append)
    emitter.emit("x", 2)
    assert seen == [0]


def test_a_handler_that_an_earlier_one_removed_is_not_called():
    emitter, seen = Emitter(), []

    def first(_):
        seen.append("first")
        emitter.off("x")
        emitter.on("x", lambda _: seen.append("new"))

    emitter.on("x", first)
    emitter.on("x", lambda _: seen.append("second"))
    emitter.once("x", lambda _: seen.append("third"))
    emitter.emit("x", None)
    assert seen == ["first"]
    emitter.emit("x", None)
    assert seen == ["first", "new"]


def test_removing_one_leaves_the_others():
    emitter, seen = Emitter(), []
    emitter.on("x", lambda _: emitter.off("x", seen.append))
    emitter.on("x", seen.append)
    emitter.on("x", lambda value: seen.append(-value))
    emitter.emit("x", 1)
    assert seen == [-1]


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, ZeroDivisionError])
def test_whatever_a_handler_raises_is_its_own(error):
    def broken(_):
        raise error

    emitter, seen = Emitter(), []
    emitter.on("x", broken)
    emitter.on("x", seen.append)
    assert [type(raised) for raised in emitter.emit("x", 1)] == [error]
    assert seen == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_get_through(error):
    def interrupted(_):
        raise error

    emitter = Emitter()
    emitter.on("x", interrupted)
    with pytest.raises(error):
        emitter.emit("x", 1)


def test_a_coroutine_that_a_handler_returns_is_an_error_and_leaves_no_warning():
    async def later(value): ...

    emitter = Emitter()
    emitter.on("x", lambda value: later(value))
    (raised,) = emitter.emit("x", 1)
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this
    assert isinstance(raised, TypeError)
    assert "create_task" in str(raised)


async def test_a_task_that_a_handler_returns_is_fine():
    async def later():
        return 1

    emitter, tasks = Emitter(), []

    def start(_):
        tasks.append(asyncio.create_task(later()))
        return tasks[0]

    emitter.on("x", start)
    assert emitter.emit("x", 1) == []
    assert await tasks[0] == 1


def test_one_that_raises_does_not_stop_the_others():
    emitter, seen = Emitter(), []
    emitter.on("x", lambda _: 1 / 0)
    emitter.on("x", seen.append)
    raised = emitter.emit("x", 7)
    assert [type(error) for error in raised] == [ZeroDivisionError]
    assert seen == [7]


def test_a_handler_that_nobody_would_await_is_refused_at_once():
    async def later(value): ...

    class Owner:
        async def method(self, value): ...

    for handler in (later, Owner().method, functools.partial(later)):
        with pytest.raises(TypeError, match="called and not awaited"):
            Emitter().on("x", handler)


def test_a_handler_that_cannot_be_called_is_refused_at_once():
    with pytest.raises(TypeError, match="expected a handler to be a function"):
        Emitter().on("x", "not a function")  # type: ignore[arg-type]
