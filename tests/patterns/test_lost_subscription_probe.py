"""A subscription that the server dropped without a word, on every transport."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from rtlab.client.connection import Connection
from rtlab.errors import MessageError, MessageTooLarge, NotConnected
from rtlab.patterns.lost_subscription_probe import LostSubscriptionProbe
from rtlab.patterns.room_manager import RoomManager
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, room_server, until, welcome
from tests.patterns.in_process import KINDS, client, drop_silently, publish, serving


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dropped_subscription_is_noticed_by_the_second_probe(kind):
    async with asyncio.timeout(30), serving() as server, client(server, kind) as conn:
        events: asyncio.Queue[object] = asyncio.Queue()
        conn.on("resync", events.put_nowait)
        conn.on("chat", events.put_nowait)
        async with RoomManager(conn, probe_interval=0.5) as rooms:
            await rooms.join_room("r")
            publish(server, "r", 1)
            assert (await events.get()).payload == 1
            drop_silently(server, "r")
            publish(server, "r", 2)
            sent = conn.stats.messages_out
            resync = await events.get()
            assert "dropped" in resync.reason
            assert resync.room_id == "r"
            assert conn.stats.messages_out - sent <= 2  # intervals
            assert (await events.get()).payload == 2  # what was missed comes behind
            publish(server, "r", 3)
            assert (await events.get()).payload == 3
            assert "r" in rooms


async def test_a_healthy_quiet_room_hears_nothing_of_the_probes():
    async with asyncio.timeout(30), serving() as server, client(server) as conn, client(server) as other:
        seen: list[str] = []
        announced: set[int] = set()
        for n, one in enumerate((conn, other)):
            one.on("users_update", lambda message, n=n: len(message.payload) == 2 and announced.add(n))
        await other.join_room("r")
        await conn.join_room("r")
        await until(lambda: len(announced) == 2)
        for one in (conn, other):
            one.on("*", lambda message: seen.append(message.type))
            one.on("resync", lambda event: seen.append("resync"))
        before = conn.stats.messages_out
        async with LostSubscriptionProbe(conn, lambda: ["r"], 0.02):
            while conn.stats.messages_out < before + 3:
                await asyncio.sleep(0.02)
        assert set(seen) <= {"ack"}


async def test_a_member_is_sent_nothing_twice_and_learns_of_another_history():
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        resyncs: list[str | None] = []
        conn.on("resync", lambda event: resyncs.append(event.epoch))
        place = (await conn.join_room("r")).payload
        for n in range(3):
            publish(server, "r", n)
        answer = await conn.request("join_room", {**place, "probe": True})  # as if it had read nothing yet
        assert (answer.payload["member"], answer.payload["recovered"]) == (True, True)
        await conn.request("echo")
        assert conn.stats.repeats == 0
        server.node.hub["r"].restart("another", 1)
        await conn.join_room("r", probe=True)
        assert resyncs == ["another"]


async def test_a_room_in_which_something_is_said_is_not_asked_for():
    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        await conn.join_room("r")
        said: set[str] = set()
        busy_intervals = 0

        def note(message: Message) -> None:
            if message.room_id is not None:
                said.add(message.room_id)

        def rooms() -> list[str]:  # asked at the end of an interval: a stalled machine's may have been quiet
            nonlocal busy_intervals
            spoken = [*said]
            said.clear()
            busy_intervals += len(spoken)
            return spoken

        conn.on("chat", note)
        before = conn.stats.messages_out
        async with LostSubscriptionProbe(conn, rooms, 0.02):
            while busy_intervals < 5:
                publish(server, "r", busy_intervals)
                await asyncio.sleep(0.005)
        assert conn.stats.messages_out == before


async def test_a_function_that_raises_does_not_end_the_probe(caplog):
    answers = [asyncio.CancelledError, ZeroDivisionError]
    asked = asyncio.Event()

    def rooms():
        if answers:
            raise answers.pop()
        asked.set()
        return ["r"]

    async with asyncio.timeout(30), serving() as server, client(server) as conn:
        await conn.join_room("r")
        async with LostSubscriptionProbe(conn, rooms, 0.01):
            await asked.wait()
    assert "ZeroDivisionError" in caplog.text
    assert "CancelledError" in caplog.text


async def test_a_probe_that_cannot_be_sent_does_not_end_the_later_ones(caplog, monkeypatch):
    conn = Connection(Factory(room_server(lambda payload: {"epoch": "e", "offset": 0}, welcome=welcome())))
    join_room, errors = conn.join_room, [MessageTooLarge(2000, 1000), ZeroDivisionError()]
    asked = asyncio.Event()

    async def join(room_id, **options):
        if errors:
            raise errors.pop()
        asked.set()
        return await join_room(room_id, **options)

    monkeypatch.setattr(conn, "join_room", join)
    async with asyncio.timeout(10), conn, LostSubscriptionProbe(conn, lambda: ["r"], 0.01):
        await asked.wait()
    assert "could not be probed: ZeroDivisionError" in caplog.text
    assert "MessageTooLarge" in caplog.text


@pytest.mark.parametrize("problem", [ZeroDivisionError, MessageTooLarge(2000, 1000), TimeoutError])
async def test_a_room_that_cannot_be_probed_is_no_obstacle_for_those_behind_it(monkeypatch, caplog, problem):
    conn = Connection(Factory(room_server(lambda payload: {"epoch": "e", "offset": 0}, welcome=welcome())))
    asked = asyncio.Event()

    async def join(room_id, **options):
        if room_id == "bad":
            raise problem
        if room_id == "last":
            asked.set()

    monkeypatch.setattr(conn, "join_room", join)
    rooms = ["bad", "good", "bad", "last"]
    async with asyncio.timeout(10), conn, LostSubscriptionProbe(conn, lambda: rooms, 0.01):
        await asked.wait()
    assert "room 'bad' could not be probed" in caplog.text


async def test_two_timeouts_in_a_row_end_the_round(monkeypatch, caplog):
    """Else each quiet room of a silent path would cost another request timeout."""
    conn = Connection(Factory(MemoryTransport(welcome=welcome())))
    asked: list[str] = []

    async def join(room_id, **options):
        asked.append(room_id)
        raise TimeoutError

    monkeypatch.setattr(conn, "join_room", join)
    rooms = ["one", "two", "three"]
    async with asyncio.timeout(10), conn, LostSubscriptionProbe(conn, lambda: rooms, 0.01):
        await until(lambda: len(asked) >= 4)
    assert asked[:4] == ["one", "two", "three", "one"]  # the next round begins where that one ended
    assert "room 'two' could not be probed: TimeoutError" in caplog.text


async def test_a_probe_that_cannot_be_sent_yet_is_no_dead_letter(caplog):
    class NoWelcomeYet(MemoryTransport):
        tried = 0

        async def send(self, message):
            self.tried += 1
            raise MessageError("no welcome yet", "no_welcome_yet", retry_after=0.01)

    transport = NoWelcomeYet(welcome=welcome())
    conn = Connection(Factory(transport))
    async with asyncio.timeout(10), conn, LostSubscriptionProbe(conn, lambda: ["r"], 0.01):
        await until(lambda: transport.tried > 1)
        assert not conn.dead_letters
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []


async def test_without_a_connection_no_other_room_is_asked_for(monkeypatch):
    conn = Connection(Factory(room_server(lambda payload: {"epoch": "e", "offset": 0}, welcome=welcome())))
    asked: list[str] = []

    async def join(room_id, **options):
        asked.append(room_id)
        raise NotConnected("lost")

    monkeypatch.setattr(conn, "join_room", join)
    async with asyncio.timeout(10), conn, LostSubscriptionProbe(conn, lambda: ["one", "two"], 0.01):
        await until(lambda: len(asked) > 1)
    assert set(asked) == {"one"}


@pytest.mark.parametrize("closed", [True, False], ids=["asyncio.run", "tasks left"])
def test_a_room_manager_probes_in_a_second_loop_too(closed):
    def transport():
        return room_server(lambda payload: {"epoch": "e", "offset": 0}, welcome=welcome())

    made = Factory(transport, transport)
    conn = Connection(made)
    manager = RoomManager(conn, probe_interval=0.01)

    def probes(number):
        return sum(message.type == "join_room" for message in made.made[number].sent) - 1

    async def first():
        await conn.connect()
        await manager.join_room("r")
        await until(lambda: probes(0))

    async def second():
        await conn.connect()
        await until(lambda: probes(1))
        manager.close()
        await conn.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(first())
    pending = asyncio.all_tasks(loop)
    if closed:
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.close()
    asyncio.run(second())
    for task in pending:  # else their destruction is a warning
        task._log_destroy_pending = False


async def test_a_probe_outlives_a_lost_connection_and_ends_with_its_block():
    async with asyncio.timeout(30), serving() as server:
        conn = client(server)
        async with conn:
            await conn.join_room("r")
            probe = LostSubscriptionProbe(conn, lambda: ["r"], 0.01)
            async with probe:
                await conn.close()
                await asyncio.sleep(0.05)
                await conn.connect()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert "quiet-link probe" not in names
    with pytest.raises(ValueError, match="interval"):
        LostSubscriptionProbe(conn, list, 0)
    with contextlib.suppress(Exception):
        await conn.close()
