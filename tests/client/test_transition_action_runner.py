"""What drives a connection: ends that overlap beginnings, and calls from within handlers."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Coroutine
from contextlib import asynccontextmanager, nullcontext

import pytest

from rtlab.client.connection import Connection, State
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed, NotConnected, TransportClosed
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Constant
from rtlab.policies.state_machine_types import Close, Connect, Lost, Open, TellDisconnected
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, leftovers, names, turns, until, welcome


class SlowToClose(MemoryTransport):
    """Its closing handshake takes until the test opens `answered`."""

    def __init__(self, **options):
        super().__init__(**options)
        self.answered = asyncio.Event()
        self.complete = False

    async def close(self, code=1000, reason=""):
        await self.answered.wait()
        self.complete = not self.aborted
        await super().close(code, reason)


# Ends that overlap beginnings


async def test_connect_while_the_former_connection_closes():
    slow, fresh = SlowToClose(welcome=welcome()), MemoryTransport(welcome=welcome("s2"))
    conn = Connection(Factory(slow, fresh))
    await conn.connect()
    closing = asyncio.create_task(conn.close())
    await turns()
    async with asyncio.timeout(10):
        await conn.connect()
        slow.answered.set()
        await closing
    assert slow.complete
    assert conn.state is State.CONNECTED
    assert not fresh.aborted
    await conn.close()
    assert leftovers() == []


async def test_connect_is_not_cancelled_by_a_close_that_came_before():
    gate = asyncio.Event()
    slow, fresh = SlowToClose(welcome=welcome()), MemoryTransport(welcome=welcome("s2"), gate=gate)
    conn = Connection(Factory(slow, fresh))
    await conn.connect()
    closing = asyncio.create_task(conn.close())
    await turns()
    connecting = asyncio.create_task(conn.connect())
    await turns()
    slow.answered.set()
    await closing
    gate.set()
    async with asyncio.timeout(10):
        await connecting
    assert conn.state is State.CONNECTED
    await conn.close()


async def test_what_the_next_connection_accepts_outlives_the_close_of_the_former():
    class Deaf(MemoryTransport):
        async def send(self, message):
            await super().send(message)
            await asyncio.Event().wait()

    slow, fresh = SlowToClose(welcome=welcome()), Deaf(welcome=welcome("s2"))
    conn = Connection(Factory(slow, fresh))
    await conn.connect()
    former = await conn.send("chat", 0, delivery="at_least_once")
    closing = asyncio.create_task(conn.close())
    await turns()
    async with asyncio.timeout(10):
        await conn.connect()
        receipt = await conn.send("chat", 1, delivery="at_least_once")
        writing = asyncio.create_task(conn.send("chat", 2))
        await turns()
        slow.answered.set()
        await closing
    await turns()
    assert receipt.outcome == "waiting"
    assert former.outcome == "unknown"
    assert not writing.done()
    await conn.close()
    assert receipt.outcome == "unknown"
    with pytest.raises(NotConnected, match="closed by its owner"):
        await writing
    assert leftovers() == []


async def test_a_close_that_is_cancelled_has_settled_the_receipts():
    slow = SlowToClose(welcome=welcome())
    conn = Connection(Factory(slow))
    await conn.connect()
    receipt = await conn.send("chat", 1, delivery="at_least_once")
    closing = asyncio.create_task(conn.close())
    await turns()
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    assert receipt.outcome == "unknown"
    assert leftovers() == []


async def test_the_loss_of_the_next_connection_leaves_the_formers_last_write_alone():
    class Slow(SlowToClose):
        async def send(self, message):
            await self.answered.wait()
            await super().send(message)

    slow, fresh = Slow(welcome=welcome()), MemoryTransport(welcome=welcome("s2"))
    conn = Connection(Factory(slow, fresh), max_reconnect_attempts=0)
    await conn.connect()
    writing = asyncio.create_task(conn.send("chat", 1))
    await turns()
    closing = asyncio.create_task(conn.close())
    await turns()
    await conn.connect()
    fresh.drop()
    await until(lambda: conn.state is State.DISCONNECTED)
    await turns()
    assert not writing.done()
    slow.answered.set()
    async with asyncio.timeout(10):
        await asyncio.gather(writing, closing)
    assert slow.sent == [Message("chat", 1)]


async def test_a_second_close_waits_for_the_first_ones_handshake():
    slow = SlowToClose(welcome=welcome())
    conn = Connection(Factory(slow))
    await conn.connect()
    closing = [asyncio.create_task(conn.close()) for _ in range(2)]
    await turns()
    assert not any(task.done() for task in closing)
    slow.answered.set()
    await asyncio.gather(*closing)
    assert slow.complete
    assert leftovers() == []


async def test_a_close_that_is_never_answered_is_bounded():
    slow = SlowToClose(welcome=welcome())
    conn = Connection(Factory(slow), close_timeout=0.01)
    await conn.connect()
    async with asyncio.timeout(10):
        await asyncio.gather(conn.close(), conn.close())
    assert slow.aborted
    assert leftovers() == []


async def test_nothing_is_delivered_after_the_end_was_told():
    slow, fresh = SlowToClose(welcome=welcome()), MemoryTransport(welcome=welcome("s2"))
    conn = Connection(Factory(slow, fresh))
    seen = []
    conn.on("n", lambda m: seen.append(m.payload))
    await conn.connect()
    closing = asyncio.create_task(conn.close())
    await turns()
    slow.push(Message("n", 1))
    await conn.connect()
    slow.push(Message("n", 2))
    fresh.push(Message("n", 3))
    await until(lambda: 3 in seen)
    await turns()
    assert seen == [3]
    assert conn._dispatch.position.resume().seq == 1
    slow.answered.set()
    await closing
    await conn.close()


@pytest.mark.parametrize("late", [False, True])
async def test_a_failure_is_not_explained_by_an_earlier_end(late):
    gate = asyncio.Event()

    class Rude(MemoryTransport):
        async def open(self, resume):
            await gate.wait()
            raise TransportClosed(1008, "banned")

    slow = SlowToClose(welcome=welcome())
    conn = Connection(Factory(slow, Rude()))
    await conn.connect()
    closing = asyncio.create_task(conn.close())
    await turns()
    if not late:
        slow.drop(1006, "reset instead of an answer")
        await turns()
    connecting = asyncio.create_task(conn.connect())
    await turns()
    if late:
        slow.drop(1006, "reset instead of an answer")
        await turns()
    gate.set()
    with pytest.raises(ConnectFailed, match="banned") as caught:
        await connecting
    assert caught.value.__cause__.code == 1008
    slow.answered.set()
    await closing


@pytest.mark.parametrize(("code", "reason"), [(1006, ""), (999, ""), (5000, ""), (1000, "ž" * 62)])
async def test_an_end_that_cannot_be_said_changes_nothing(code, reason):
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    await conn.connect()
    with pytest.raises(ValueError, match="expected"):
        await conn.close(code, reason)
    assert conn.state is State.CONNECTED
    await conn.close(4000, "ž" * 61)
    assert transport.closed_with == 4000


# Calls from within handlers


@pytest.mark.parametrize("name", ["disconnected", "reconnecting"])
async def test_reconnect_now_from_a_handler_starts_one_attempt_and_leaves_no_timer(name):
    factory = Factory(MemoryTransport(welcome=welcome()), MemoryTransport(welcome=welcome(resumed=True)))
    conn = Connection(factory, backoff=Constant(seconds=60.0))
    seen = names(conn)
    conn.on(name, lambda event: conn.reconnect_now())
    await conn.connect()
    factory.made[0].drop()
    await until(lambda: conn.stats.connects == 2)
    assert seen == ["connected", "disconnected", "reconnecting", "connected"]
    assert conn._runner._timer is None
    assert len(factory.made) == 2
    await conn.close()


async def test_reconnect_now_where_there_is_nothing_to_bring_forward():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory)
    conn.reconnect_now()
    assert conn.state is State.DISCONNECTED
    conn.on("connected", lambda event: conn.reconnect_now())
    await conn.connect()
    conn.reconnect_now()
    assert conn.state is State.CONNECTED
    await conn.close()
    conn.reconnect_now()
    assert conn.state is State.CLOSED
    assert len(factory.made) == 1


@pytest.mark.parametrize("name", ["connected", "disconnected", "reconnecting", "n"])
async def test_a_handler_may_have_the_connection_closed(name):
    factory = Factory(*(MemoryTransport(welcome=welcome()) for _ in range(3)))
    conn = Connection(factory, backoff=FAST)
    closing = []
    conn.once(name, lambda event: closing.append(asyncio.create_task(conn.close())))
    await conn.connect()
    factory.made[0].push(Message("n"))
    factory.made[0].drop()
    await until(lambda: closing)
    await asyncio.gather(*closing)
    await turns()
    assert conn.state is State.CLOSED
    assert leftovers() == []
    assert all(transport.aborted for transport in factory.made)


async def test_a_handler_may_send_and_take_itself_off():
    first = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(first))
    tasks = []

    def answer(message):
        conn.off("n", answer)
        tasks.append(asyncio.create_task(conn.send("thanks", message.payload)))

    conn.on("n", answer)
    async with conn:
        first.push(Message("n", 1))
        first.push(Message("n", 2))
        await until(lambda: conn.stats.messages_in == 2)
        await asyncio.gather(*tasks)
    assert first.sent == [Message("thanks", 1)]


async def test_a_handler_that_is_interrupted_does_not_stop_the_machine():
    conn = Connection(Factory(MemoryTransport(welcome=welcome()), MemoryTransport(welcome=welcome())))

    def interrupt(event):
        raise KeyboardInterrupt

    await conn.connect()
    conn.once("disconnected", interrupt)
    with pytest.raises(KeyboardInterrupt):
        conn._runner.feed(Close())
    await conn.close()
    await conn.connect()
    assert conn.state is State.CONNECTED
    await conn.close()


@pytest.mark.parametrize("where", ["handler", "abort"])
async def test_an_error_while_a_broken_step_is_cleaned_up_keeps_the_later_events(where):
    """A step breaks; then a handler interrupts the cleaning up, or a third party's transport fails in it."""

    class Failing(MemoryTransport):
        failed = False

        def abort(self):
            super().abort()
            if where == "abort" and not self.failed:
                self.failed = True
                raise LookupError

    conn = Connection(Factory(Failing(welcome=welcome()), MemoryTransport(welcome=welcome())))
    await conn.connect()
    carried, carry_out = [], conn._runner._carry_out
    runner = conn._runner

    def broken(action):
        if isinstance(action, TellDisconnected):
            runner.feed(Connect())
            raise ZeroDivisionError
        carried.append(type(action))
        carry_out(action)

    def interrupt(event):
        raise KeyboardInterrupt

    errors: list[BaseException | None] = []
    conn.on("error", lambda event: errors.append(event.error))
    if where == "handler":
        conn.once("disconnected", interrupt)
    runner._carry_out = broken
    with pytest.raises(KeyboardInterrupt) if where == "handler" else nullcontext():
        runner.feed(Lost(runner.life.generation, 1006, "gone", False, False))
    assert Open in carried
    assert [type(error) for error in errors] == ([] if where == "handler" else [LookupError])
    await conn.close()


@pytest.mark.parametrize("name", ["abort", "bytes_in"])
async def test_an_interrupt_in_a_backoff_outlives_an_error_of_the_transport_that_is_dropped(name):
    class Failing(MemoryTransport):
        failing = False

        def abort(self):
            super().abort()
            if self.failing and name == "abort":
                self.failing = False
                raise LookupError

        @property
        def bytes_in(self):
            if self.failing and name == "bytes_in":
                raise LookupError
            return 0

        @bytes_in.setter
        def bytes_in(self, value):
            pass

    class Interrupted(Constant):
        def delay(self, *args):
            raise KeyboardInterrupt

    first = Failing(welcome=welcome())
    conn = Connection(Factory(first), backoff=Interrupted(1))
    await conn.connect()
    runner, given_up = conn._runner, []
    give_up = runner._give_up
    runner._give_up = lambda reason: (given_up.append(reason), give_up(reason))
    first.failing = True
    with pytest.raises(KeyboardInterrupt):
        runner.feed(Lost(runner.life.generation, 1006, "gone", False, True))
    assert len(given_up) == 1
    first.failing = False
    await conn.close()


async def test_an_error_of_a_transports_abort_is_reported():
    class Failing(MemoryTransport):
        def abort(self):
            super().abort()
            raise LookupError

    first = Failing(welcome=welcome())
    conn = Connection(Factory(first, MemoryTransport(welcome=welcome("s2"))), backoff=FAST)
    errors: list[BaseException | None] = []
    conn.on("error", lambda event: errors.append(event.error))
    async with asyncio.timeout(10), conn:
        first.drop()
        await until(lambda: conn.stats.connects == 2)
        assert [type(error) for error in errors] == [LookupError]


async def test_an_error_of_a_transports_abort_leaves_no_task_when_the_connection_is_closed():
    class Failing(MemoryTransport):
        def abort(self):
            super().abort()
            raise LookupError

    conn = Connection(Factory(Failing(welcome=welcome())))
    async with asyncio.timeout(10), conn:
        running = conn._runner._tasks.running
        assert running
    assert all(task.done() for task in running)
    assert conn.state is State.CLOSED


async def test_an_interrupt_is_raised_rather_than_an_error_before_or_after_it():
    conn = Connection(Factory(MemoryTransport(welcome=welcome())))
    await conn.connect()
    runner = conn._runner
    raised = iter([LookupError(), KeyboardInterrupt(), LookupError()])

    def failing(argument):
        raise next(raised, ValueError())

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_tell_state", "_carry_out", "_abandon"):
            patch.setattr(runner, name, failing if name == "_abandon" else lambda argument: 1 / 0)
        with pytest.raises(KeyboardInterrupt):
            runner.feed(Lost(runner.life.generation, 1006, "gone", False, False))
    assert not list(raised)
    await conn.close()


# Cancelled at every await


class Counted(Coroutine):
    """A coroutine that calls `suspended` each time it has come to an await that takes time."""

    def __init__(self, coro, suspended):
        self.coro, self.suspended = coro, suspended

    def send(self, value):
        waits_for = self.coro.send(value)
        self.suspended()
        return waits_for

    def throw(self, *error):
        return self.coro.throw(*error)

    def close(self):
        self.coro.close()

    def __await__(self):
        yield from ()


@asynccontextmanager
async def watching(name, suspended):
    """Call `suspended` at each await of the tasks that run the coroutine function `name`."""
    loop = asyncio.get_running_loop()

    def make(loop, coro, **options):
        if inspect.iscoroutine(coro) and coro.__qualname__ == name:
            coro = Counted(coro, suspended)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(make)
    try:
        yield
    finally:
        loop.set_task_factory(None)


async def cancelled_at(number, name, act):
    """Run `act`, cancelled where `name` awaits for the time `number`; return whether it came so far."""
    seen = 0

    def suspended():
        nonlocal seen
        seen += 1
        if seen == number:
            asyncio.get_running_loop().call_soon(task.cancel)

    async with watching(name, suspended):
        task = asyncio.create_task(act())
        async with asyncio.timeout(10):
            await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() or task.exception() is None
    return seen >= number


def descriptors():
    return len(os.listdir("/proc/self/fd"))


TRANSPORTS = [WebSocketConnection, ServerSentEvents, LongPolling, WebRTCChannel]


@asynccontextmanager
async def leaving_nothing(kind):
    """A lab, and how to make a connection to it of which nothing may be left."""
    async with Lab() as lab:
        url = lab.ws_url if kind is WebSocketConnection else lab.url
        async with kind(url):  # what is made once and kept, is there
            pass
        before, open_before = asyncio.all_tasks(), descriptors()

        @asynccontextmanager
        async def connection():
            conn = kind(url)
            yield conn
            assert conn.state is State.CLOSED
            await until(lambda: asyncio.all_tasks() == before, 5)
            await until(lambda: descriptors() <= open_before, 5)

        yield connection


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_connecting_leaves_nothing_wherever_its_attempt_is_cancelled(kind):
    async with leaving_nothing(kind) as connection:
        number, more = 0, True
        while more:
            number += 1
            async with connection() as conn:
                more = await cancelled_at(number, "StateMachineRunner._run", conn.connect)
                if conn.state is State.CONNECTED:  # cancelled when all was done
                    await conn.close()
        assert number > 4


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_closing_leaves_nothing_wherever_it_is_cancelled(kind):
    async with leaving_nothing(kind) as connection:
        number, more = 0, True
        while more:
            number += 1
            async with connection() as conn:
                await conn.connect()
                more = await cancelled_at(number, kind.close.__qualname__, conn.close)
        assert number > 1


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_a_request_that_is_cancelled_anywhere_leaves_the_connection_as_it_was(kind):
    async with leaving_nothing(kind) as connection:
        number, more = 0, True
        while more:
            number += 1
            async with connection() as conn:
                await conn.connect()
                more = await cancelled_at(
                    number, "Connection.request", lambda conn=conn: conn.request("echo")
                )
                assert conn._sender._requests._pending == {}
                assert (await conn.request("echo", number)).payload == number
                assert conn.stats.connects == 1
                await conn.close()
        assert number > 1
