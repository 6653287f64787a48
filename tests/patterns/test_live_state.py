"""A state that is followed over real sockets: gaps, restarts, callbacks and readers that fail."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rtlab.client.connection import Connection
from rtlab.client.event_emitter import Resync
from rtlab.errors import ConnectionLost, StateBehind
from rtlab.patterns.live_state import StateAt, snapshot_then_delta
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message
from tests.memory import Factory
from tests.patterns.in_process import KINDS, client, publish, serving

FAST = Constant(0.01)


class Store:
    """What a database holds, and a view of it that a client keeps."""

    def __init__(self, server) -> None:
        self.server = server
        self.truth: dict[str, int] = {}
        self.view: dict[str, int] = {}

    async def read(self) -> dict[str, int]:
        state = dict(self.truth)
        await asyncio.sleep(0)
        return state

    def show(self, state: dict[str, int]) -> None:
        self.view = dict(state)

    def apply(self, message: Message) -> None:
        self.view.update(message.payload)

    def set(self, key: str, value: int) -> None:
        self.truth[key] = value
        publish(self.server, "prices", {key: value})

    def follow(self, conn, **options):
        given = {"on_state": self.show, "on_delta": self.apply, "backoff": FAST, **options}
        return snapshot_then_delta(given.pop("get_state", self.read), conn, "prices", **given)

    async def until_equal(self) -> None:
        async with asyncio.timeout(10):
            while self.view != self.truth:
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_changes_while_the_state_is_read_is_not_lost(kind):
    async with asyncio.timeout(30), serving() as server, client(server, kind) as conn:
        store = Store(server)
        store.set("a", 1)

        async def slow_read():
            state = await store.read()
            store.set("b", 2)  # after the read, before it is shown
            return state

        async with store.follow(conn, get_state=slow_read) as live:
            store.set("a", 3)
            await store.until_equal()
            assert (store.view, live.reads, live.live) == ({"a": 3, "b": 2}, 1, True)


async def test_a_gap_and_another_history_lead_back_to_the_state():
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store = Store(server)
        async with store.follow(conn) as live:
            store.truth["lost"] = 1  # committed, and its message dropped
            room = server.node.hub["prices"]
            room.restart("another", 1)
            store.set("a", 2)
            await store.until_equal()
            await live.wait_live(5)
            assert live.reads == 2
            store.set("a", 3)
            await store.until_equal()
            assert live.reads == 2


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_change_that_cannot_be_applied_leads_back_to_the_state(error):
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store, errors = Store(server), []
        conn.on("error", errors.append)

        def picky(message):
            if "bad" in message.payload:
                raise error("not applied")
            store.apply(message)

        async with store.follow(conn, on_delta=picky) as live:
            store.set("bad", 1)
            store.set("good", 2)
            await store.until_equal()
            await live.wait_live(5)
            assert live.reads == 2
            assert "not applied" in errors[0].message


@pytest.mark.parametrize("error", [OSError, asyncio.CancelledError])
async def test_a_state_that_cannot_be_read_is_read_again_and_said(caplog, error):
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store, fails = Store(server), iter([False, True, True])

        async def shaky():
            if next(fails, False):
                raise error("the database is away")
            return await store.read()

        async with store.follow(conn, get_state=shaky) as live:
            server.node.hub["prices"].restart("another", 1)
            store.set("a", 1)
            await store.until_equal()
            await live.wait_live(5)
            assert (live.reads, live.error) == (4, None)
    assert "the database is away" in caplog.text


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_state_that_cannot_be_shown_is_shown_again(error):
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store, fails = Store(server), iter([False, True])

        def picky(state):
            if next(fails, False):
                raise error("not shown")
            store.show(state)

        async with store.follow(conn, on_state=picky) as live:
            server.node.hub["prices"].restart("another", 1)
            store.set("a", 1)
            await store.until_equal()
            await live.wait_live(5)
            assert (live.reads, live.error) == (3, None)


async def test_a_coroutine_that_a_callback_returns_is_an_error():
    async def later(value): ...

    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store, errors = Store(server), []
        conn.on("error", errors.append)
        with pytest.raises(TypeError, match="on_state is called and not awaited"):
            store.follow(conn, on_state=later)
        with pytest.raises(TypeError, match="on_state returned a coroutine"):
            async with store.follow(conn, on_state=lambda state: later(state)):
                pass
        async with store.follow(conn, on_delta=lambda message: later(message)) as live:
            store.set("a", 1)
            await store.until_equal()
            await live.wait_live(5)
        assert "on_delta returned a coroutine" in errors[0].message
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this


async def test_a_first_state_that_cannot_be_read_or_is_behind_comes_out():
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store = Store(server)
        store.set("a", 1)

        async def broken():
            raise OSError("no database")

        async def old():
            return StateAt({}, 0)

        with pytest.raises(OSError, match="no database"):
            async with store.follow(conn, get_state=broken):
                pass
        with pytest.raises(StateBehind, match="newer copy"):
            async with store.follow(conn, get_state=old):
                pass
        store.set("a", 2)  # nobody is called any more
        assert store.view == {}


async def test_who_is_put_out_of_the_room_learns_of_it():
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store = Store(server)
        async with store.follow(conn) as live:
            resync = asyncio.get_running_loop().create_future()
            conn.on("resync", resync.set_result)
            session = next(iter(server.node.sessions))
            session.rooms = dict.fromkeys(f"r{n}" for n in range(64))
            server.node.hub["prices"].members.clear()
            with pytest.raises(Exception, match="64 rooms"):
                await conn.join_room("prices", probe=True)
            await resync
            assert not live.live
            with pytest.raises(ConnectionLost, match="64 rooms"):
                await live.wait_live(5)
            session.rooms = {}


@pytest.mark.parametrize("error", [None, OSError, asyncio.CancelledError])
async def test_who_is_put_out_while_the_state_is_read_learns_of_it_too(error):
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        store, reading, gate = Store(server), asyncio.Event(), asyncio.Event()
        gate.set()

        async def gated():
            reading.set()
            if not gate.is_set():
                await gate.wait()
                if error is not None:
                    raise error
            return await store.read()

        async with store.follow(conn, get_state=gated) as live:
            gate.clear()
            reading.clear()
            server.node.hub["prices"].restart("another", 1)
            store.set("a", 1)
            await reading.wait()
            live._resync(Resync(at=0.0, room_id="prices", reason="put out"))
            gate.set()
            await asyncio.wait((live._task,), timeout=5)
            assert not live.live
            with pytest.raises(ConnectionLost, match="put out"):
                await live.wait_live(5)


async def test_a_reader_whose_cancellation_becomes_another_error_ends_too():
    async with asyncio.timeout(5), serving() as server, client(server) as conn:
        store, again, reads = Store(server), asyncio.Event(), iter(range(9))

        async def stubborn():
            if (read := next(reads)) > 0:
                again.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if read == 1:
                        raise OSError("interrupted") from None
                    raise
            return await store.read()

        async with store.follow(conn, get_state=stubborn) as live:
            server.node.hub["prices"].restart("another", 1)
            store.set("a", 1)
            await again.wait()
        assert live.reads == 2


def test_a_reader_whose_loop_was_closed_ends():
    async def silent():
        await asyncio.Event().wait()

    live = Store(None).follow(Connection(Factory()), get_state=silent)
    loop = asyncio.new_event_loop()
    task = loop.create_task(live._catch_up())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False
    task.get_coro().close()  # as the garbage collector does it
    assert (live.reads, live.error) == (1, None)
