"""A handler may raise anything at any moment: its state stays true, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rtlab.client.connection import Connection, State
from rtlab.errors import ConnectFailed, ConnectionLost, NotConnected
from rtlab.policies.backoff import Constant
from rtlab.policies.state_machine_types import Lost
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, leftovers, names, turns, until, welcome

EVENTS = ("connected", "disconnected", "reconnecting", "n", "*")


class Unprintable(Exception):
    def __repr__(self):
        raise RuntimeError("no words")


class Strange(BaseException):
    """Neither an Exception nor an interrupt."""


def raiser(error):
    def handler(_):
        raise error

    return handler


def transports(count=3):
    return [MemoryTransport(welcome=welcome(f"s{n}")) for n in range(count)]


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("error", [asyncio.CancelledError(), Unprintable(), Strange(), GeneratorExit()])
async def test_no_handler_stops_the_connection(name, error):
    first, second, *_ = made = transports()
    conn = Connection(Factory(*made), backoff=FAST)
    told, seen = [], []
    conn.on(name, raiser(error))
    conn.on("error", lambda event: told.append(event.error))
    conn.on("n", lambda message: seen.append(message.payload))
    async with asyncio.timeout(10):
        await conn.connect()
        first.push(Message("n", 1))
        await until(lambda: seen == [1])
        first.drop()
        await until(lambda: conn.stats.connects == 2)
        second.push(Message("n", 2))
        await until(lambda: seen == [1, 2])
        assert conn.state is State.CONNECTED
        assert error in told
        await conn.close()
    assert leftovers() == []


async def test_the_result_of_a_cancelled_future_in_a_handler():
    """The case in which it was found: an unlucky handler, and a reader that died of it."""
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    conn.once("echo", lambda message: future.result())
    async with conn:
        transport.push(Message("echo"))
        transport.push(Message("n", 1))
        async with asyncio.timeout(10):
            assert [(await anext(aiter(conn))).type for _ in range(1)]
        assert conn.state is State.CONNECTED


async def test_an_error_handler_that_cannot_be_printed_is_logged(caplog):
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    conn.on("error", raiser(Unprintable()))
    async with conn:
        transport.push(Message("error", {"message": "no"}))
        await until(lambda: "Unprintable" in caplog.text)
        assert conn.state is State.CONNECTED


# Interrupts


def interrupted(name, script):
    """Run a script on a loop of its own; return the connection after an interrupt came out of it."""

    conn = Connection(Factory(*transports()), backoff=Constant(seconds=60.0))
    conn.once(name, raiser(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(script(conn))
    return conn


@pytest.mark.parametrize("name", ["connected", "disconnected", "reconnecting", "n"])
def test_an_interrupt_gets_through_and_leaves_a_true_state(name):
    async def script(conn):
        await conn.connect()
        conn._runner.transport.push(Message("n", 1))
        conn._runner.transport.drop()
        await asyncio.sleep(10)

    conn = interrupted(name, script)
    # `connect` was under way in the first case: its cancellation closes.
    assert conn.state is (State.CLOSED if name == "connected" else State.DISCONNECTED)

    async def again():
        async with asyncio.timeout(10):
            await conn.connect()
            assert conn.state is State.CONNECTED
            await conn.close()

    asyncio.run(again())
    assert conn.state is State.CLOSED


def test_an_interrupt_wakes_all_who_wait():
    """The loop goes on after an interrupt, as a notebook's does."""
    (transport,) = made = transports(1)
    conn = Connection(Factory(*made))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(conn.connect())
    waiting = [
        loop.create_task(conn.request("echo", timeout=30)),
        loop.create_task(anext(aiter(conn))),
    ]
    conn.on("n", raiser(KeyboardInterrupt()))
    transport.push(Message("n"))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.wait(waiting, timeout=10))
    assert conn.state is State.DISCONNECTED
    unread = []
    loop.set_exception_handler(lambda loop, context: unread.append(context))
    results = loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
    assert [type(result) for result in results] == [NotConnected, ConnectionLost]
    loop.run_until_complete(conn.close())
    gc.collect()
    assert unread == []
    loop.close()


# Tasks that are cancelled from outside, and loops that end


async def test_a_reader_that_others_cancel_wakes_all_who_wait():
    conn = Connection(Factory(*transports()))
    await conn.connect()
    own = asyncio.current_task()
    readers = asyncio.all_tasks() - {own}
    waiting = [asyncio.create_task(anext(aiter(conn))), asyncio.create_task(conn.request("echo"))]
    await turns()
    for task in readers:
        task.cancel()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionLost, NotConnected]
    assert conn.state is State.DISCONNECTED
    await conn.connect()
    await conn.close()


async def test_an_attempt_that_others_cancel_is_a_failed_connect():
    conn = Connection(Factory(MemoryTransport(welcome=welcome(), gate=asyncio.Event())))
    before = asyncio.all_tasks()
    connecting = asyncio.create_task(conn.connect())
    await turns()
    for task in asyncio.all_tasks() - before - {connecting}:
        task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(ConnectFailed, match="CancelledError"):
            await connecting
    assert conn.state is State.DISCONNECTED


@pytest.mark.parametrize("lost", [False, True])
def test_a_connection_may_be_carried_to_a_second_loop(lost):
    """Whether it was open or waited for its next attempt when the first loop ended."""
    conn = Connection(Factory(*transports()), backoff=Constant(seconds=60.0))

    async def first():
        await conn.connect()
        if lost:
            conn._runner.transport.drop()
            await until(lambda: conn.state is State.RECONNECTING)

    asyncio.run(first())
    assert conn.state is State.DISCONNECTED

    async def second():
        async with asyncio.timeout(10):
            with pytest.raises(NotConnected):
                await conn.send("n")
            await conn.connect()
            conn._runner.transport.push(Message("n", 1))
            assert (await anext(aiter(conn))).payload == 1
            await conn.close()

    asyncio.run(second())


def test_a_loop_that_was_closed_without_a_word_does_not_count_as_connected():
    conn = Connection(Factory(*transports()))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(conn.connect())
    pending = asyncio.all_tasks(loop)
    loop.close()
    assert conn.state is State.DISCONNECTED
    for task in pending:  # else their destruction is a warning
        task._log_destroy_pending = False
        task.get_coro().close()


async def test_a_connection_of_another_loop_that_runs_says_so():
    conn = Connection(Factory(*transports()))
    await conn.connect()

    async def elsewhere():
        with pytest.raises(Exception, match="expected the event loop that the connection was opened on"):
            await conn.send("n")

    await asyncio.to_thread(asyncio.run, elsewhere())
    await conn.close()


# Policies of the user's that raise


async def test_a_backoff_that_raises_ends_the_connection_for_all_to_see():
    class Broken(Constant):
        def delay(self, attempt, previous, rng):
            raise ZeroDivisionError

    (first,) = made = transports(1)
    conn = Connection(Factory(*made), backoff=Broken(seconds=1.0))
    told = []
    conn.on("disconnected", told.append)
    await conn.connect()
    stream = aiter(conn)
    first.drop()
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionLost, match="ZeroDivisionError"):
            await anext(stream)
    assert conn.state is State.DISCONNECTED
    assert [event.will_reconnect for event in told] == [False]
    await conn.close()
    assert leftovers() == []


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_a_backoff_that_raises_no_exception_but_worse_ends_the_connection_too(kind):
    class Broken(Constant):
        def delay(self, attempt, previous, rng):
            raise kind

    (first,) = made = transports(1)
    conn = Connection(Factory(*made), backoff=Broken(seconds=1.0))
    told = names(conn)

    async def script():
        async with asyncio.timeout(10):
            await conn.connect()
            first.drop()
            await until(lambda: conn.state is State.DISCONNECTED)
        assert first.aborted

    if kind is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(script())
    else:
        asyncio.run(script())
    assert conn.state is State.DISCONNECTED
    assert told == ["connected", "disconnected"]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize(("what", "told"), [("message", "n"), ("state", "Reconnecting")])
async def test_a_watcher_that_raises_no_exception_but_worse_stops_nothing(what, told, kind):
    first, second = made = transports(2)
    conn = Connection(Factory(*made), backoff=FAST)
    raised = []

    def watcher(who, kind_of, data):
        if (kind_of, getattr(data, "type", data)) == (what, told):
            raised.append(1)
            raise kind

    conn.watch_wire(watcher)
    got = []
    conn.on("n", got.append)
    async with asyncio.timeout(10), conn:
        first.push(Message("n", 1))
        await until(lambda: got)
        assert conn.state is State.CONNECTED
        first.drop()
        await until(lambda: conn.stats.connects == 2)
        second.push(Message("n", 2))
        await until(lambda: len(got) == 2)
    assert raised


async def test_an_interrupt_in_a_watcher_gets_through_and_the_connection_reconnects():
    made = transports(2)
    conn = Connection(Factory(*made), backoff=FAST)
    await conn.connect()

    def interrupt(who, what, data):
        if data == "Reconnecting":
            raise KeyboardInterrupt

    conn.watch_wire(interrupt)
    with pytest.raises(KeyboardInterrupt):
        conn._runner.feed(Lost(conn._runner.life.generation, 1006, "", clean=False, reconnect=True))
    async with asyncio.timeout(10):
        await until(lambda: conn.stats.connects == 2)
    await conn.close()
    assert leftovers() == []


async def test_a_delay_that_is_no_number_does_not_stay_reconnecting():
    class Broken(Constant):
        def delay(self, attempt, previous, rng):
            return "soon"

    (first,) = made = transports(1)
    conn = Connection(Factory(*made), backoff=Broken(seconds=1.0))
    await conn.connect()
    stream = aiter(conn)
    first.drop()
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionLost):
            await anext(stream)
    assert conn.state is State.DISCONNECTED
    await conn.close()
