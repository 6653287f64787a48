"""RoomManager over a real server: callbacks, presence, coming back, and being put out."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rtlab.client.connection import Connection, State
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import InvalidState, NotConnected, RequestRefused
from rtlab.lab.lab import Lab
from rtlab.patterns.room_manager import CALLBACKS, RoomManager
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, turns, welcome


class Log:
    """Writes down what is called, and lets a test wait for it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self._changed = asyncio.Event()

    def callbacks(self, *names: str) -> dict[str, object]:
        return {name: lambda value, name=name: self._add(name, value) for name in names or CALLBACKS}

    def _add(self, name: str, value: object) -> None:
        self.calls.append((name, value.payload if isinstance(value, Message) else value))
        self._changed.set()

    async def until(self, call: tuple[str, object]) -> None:
        async with asyncio.timeout(15):
            while call not in self.calls:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def lab():
    async with Lab(faults=True) as running:
        yield running


def user(lab, name, kind=WebSocketConnection, **options):
    url = lab.ws_url if kind is WebSocketConnection else lab.url
    return kind(f"{url}?user={name}", backoff=Constant(0.01), **options)


@pytest.mark.parametrize("kind", [WebSocketConnection, ServerSentEvents, LongPolling])
async def test_two_users_meet_talk_and_part(lab, kind):
    seen = Log()
    async with (
        asyncio.timeout(60),
        user(lab, "ada", kind) as one,
        user(lab, "bob") as two,
        RoomManager(one) as ada,
        RoomManager(two) as bob,
    ):
        assert await ada.join_room("lobby", seen.callbacks()) is True
        assert await ada.join_room("lobby") is False
        await seen.until(("on_join", "ada"))
        assert await bob.join_room("lobby") is True
        await seen.until(("on_users_update", ("ada", "bob")))
        assert ada.active_users("lobby") == ("ada", "bob")
        await bob.send("lobby", "chat", {"text": "hi"})
        await seen.until(("on_message", {"text": "hi"}))
        assert await bob.leave_room("lobby") is True
        assert await bob.leave_room("lobby") is False
        await seen.until(("on_leave", "bob"))
        assert ("on_join", "bob") in seen.calls
        assert list(ada) == ["lobby"]
        assert len(bob) == 0


async def test_rooms_are_apart_on_one_connection(lab):
    red, blue = Log(), Log()
    async with asyncio.timeout(30), user(lab, "ada") as conn, RoomManager(conn) as rooms:
        await rooms.join_room("red", red.callbacks("on_message"))
        await rooms.join_room("blue", blue.callbacks("on_message"))
        await rooms.send("red", "chat", 1)
        await rooms.send("blue", "chat", 2)
        await red.until(("on_message", 1))
        await blue.until(("on_message", 2))
        assert red.calls == [("on_message", 1)]
        assert blue.calls == [("on_message", 2)]


async def test_after_a_cut_the_room_goes_on_where_it_was(lab):
    seen = Log()
    through = WebSocketConnection(f"{lab.faults.ws_url}?user=ada", backoff=Constant(0.2))
    async with (
        asyncio.timeout(60),
        through as conn,
        user(lab, "bob") as other,
        RoomManager(conn) as ada,
        RoomManager(other) as bob,
    ):
        await ada.join_room("lobby", seen.callbacks("on_message", "on_resync"))
        await bob.join_room("lobby")
        await lab.faults.cut()
        for n in range(5):  # while ada is away
            await bob.send("lobby", "chat", n)
        await seen.until(("on_message", 4))
        assert [value for _, value in seen.calls] == [0, 1, 2, 3, 4]


async def test_a_room_that_is_left_without_a_connection_is_not_entered_again(lab):
    """The session goes on, and at the server it is in the room still: it has to be told."""
    seen, heard = Log(), []
    through = WebSocketConnection(f"{lab.faults.ws_url}?user=ada", backoff=Constant(0.02))
    async with (
        asyncio.timeout(60),
        through as conn,
        user(lab, "bob") as other,
        RoomManager(conn) as ada,
        RoomManager(other) as bob,
    ):
        conn.on("chat", heard.append)
        await bob.join_room("lobby", seen.callbacks("on_leave"))
        await ada.join_room("lobby")
        async with lab.faults.down():
            while conn.state is State.CONNECTED:
                await asyncio.sleep(0.01)
            with pytest.raises(NotConnected):
                await ada.leave_room("lobby")
            await bob.send("lobby", "chat", "meanwhile")
        await seen.until(("on_leave", "ada"))
        assert (heard, conn.stats.rooms, conn.stats.connects) == ([], {}, 2)
        assert await ada.join_room("lobby") is True
        await bob.send("lobby", "chat", "again")
        while not heard:
            await asyncio.sleep(0.01)
        assert [message.payload for message in heard] == ["again"]


async def test_a_user_whose_process_died_leaves_after_the_grace_period(lab):
    seen = Log()
    async with asyncio.timeout(60), user(lab, "ada") as conn, RoomManager(conn) as rooms:
        await rooms.join_room("lobby", seen.callbacks("on_leave", "on_join"))
        dead = WebSocketConnection(f"{lab.faults.ws_url}?user=bob", max_reconnect_attempts=0)
        await dead.connect()
        await dead.join_room("lobby")
        await seen.until(("on_join", "bob"))
        await lab.faults.cut()
        await seen.until(("on_leave", "bob"))
        await dead.close()


async def test_a_name_from_the_wire_chooses_no_callback():
    transport = MemoryTransport(welcome=welcome(), on_send=lambda m: _ack(transport, m))
    seen = Log()
    async with Connection(Factory(transport)) as conn, RoomManager(conn) as rooms:
        await rooms.join_room("r", seen.callbacks())
        for n, kind in enumerate(("resync", "leave", "__class__", "on_resync"), start=1):
            transport.push(Message(kind, kind, room_id="r", offset=n, epoch="e1"))
        transport.push(Message("welcome", "x", room_id="r", offset=5, epoch="e1"))
        await turns(20)
    assert {name for name, _ in seen.calls} == {"on_message"}


@pytest.mark.parametrize("payload", [None, {"users": ["a"]}, "ada", [1, None, ["x"]]])
async def test_a_list_of_users_that_is_none_empties_the_room(payload):
    transport = MemoryTransport(welcome=welcome(), on_send=lambda m: _ack(transport, m))
    async with Connection(Factory(transport)) as conn, RoomManager(conn) as rooms:
        await rooms.join_room("r")
        transport.push(Message("users_update", payload, room_id="r"))
        await turns(10)
        assert rooms.active_users("r") == ()


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_callback_that_raises_keeps_no_other_from_its_turn(error):
    transport = MemoryTransport(welcome=welcome(), on_send=lambda m: _ack(transport, m))
    told: list[str] = []
    errors: list[str] = []

    def broken(value):
        raise error

    callbacks = {"on_users_update": broken, "on_join": told.append, "on_message": broken}
    async with Connection(Factory(transport)) as conn, RoomManager(conn) as rooms:
        conn.on("error", lambda event: errors.append(event.message))
        await rooms.join_room("r", callbacks)
        transport.push(Message("users_update", ["ada", "bob"], room_id="r"))
        transport.push(Message("chat", 1, room_id="r"))
        await turns(10)
        assert told == ["ada", "bob"]
        assert [error.__name__ in text for text in errors] == [True, True]
        assert conn.state.value == "Connected"


async def test_a_coroutine_that_a_callback_returns_is_an_error_and_leaves_no_warning():
    async def later(value): ...

    transport = MemoryTransport(welcome=welcome(), on_send=lambda m: _ack(transport, m))
    errors: list[str] = []
    async with Connection(Factory(transport)) as conn, RoomManager(conn) as rooms:
        conn.on("error", lambda event: errors.append(event.message))
        with pytest.raises(TypeError, match="on_join is called and not awaited"):
            await rooms.join_room("r", {"on_join": later})
        await rooms.join_room("r", {name: lambda value: later(value) for name in CALLBACKS})
        transport.push(Message("users_update", ["ada"], room_id="r"))
        transport.push(Message("chat", 1, room_id="r"))
        await turns(10)
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this
    assert ["returned a coroutine" in text for text in errors] == [True, True]


async def test_a_callback_that_closes_the_manager_is_the_last_one():
    transport = MemoryTransport(welcome=welcome(), on_send=lambda m: _ack(transport, m))
    told: list[str] = []
    async with Connection(Factory(transport)) as conn:
        rooms = RoomManager(conn)
        await rooms.join_room("r", {"on_users_update": lambda users: rooms.close(), "on_join": told.append})
        transport.push(Message("users_update", ["ada"], room_id="r"))
        await turns(10)
    assert told == []


async def test_a_bad_room_name_is_refused_and_leaves_nothing(lab):
    async with asyncio.timeout(30), user(lab, "ada") as conn, RoomManager(conn) as rooms:
        for name in ("", "x" * 300, "a\x00b", "a\nb"):
            with pytest.raises(RequestRefused, match="printable"):
                await rooms.join_room(name)
            assert name not in rooms
            with pytest.raises(InvalidState):
                await rooms.send(name, "chat", 1)


async def test_one_room_too_many_is_refused_and_the_others_stay(lab):
    async with asyncio.timeout(60), user(lab, "ada") as conn, RoomManager(conn) as rooms:
        for n in range(64):
            await rooms.join_room(f"room{n}")
        with pytest.raises(RequestRefused, match="64 rooms"):
            await rooms.join_room("one more")
        assert len(rooms) == 64


async def test_callbacks_are_checked_before_anything_is_sent():
    conn = Connection(Factory(MemoryTransport(welcome=welcome())))
    rooms = RoomManager(conn)
    with pytest.raises(ValueError, match="on_message"):
        await rooms.join_room("r", {"onmessage": print})
    with pytest.raises(TypeError, match="on_message"):
        await rooms.join_room("r", {"on_message": "print"})  # type: ignore[dict-item]
    with pytest.raises(NotConnected):
        await rooms.join_room("r", {"on_message": print})
    assert "r" not in rooms
    with pytest.raises(InvalidState, match="join_room"):
        rooms.active_users("r")


async def test_a_room_that_does_not_take_us_back_is_said_and_gone():
    refuse = False

    def server(message):
        if message.type == "join_room" and refuse:
            second.push(Message("error", {"code": "no", "message": "members only"}, id=message.id))
        else:
            _ack(first, message)

    first = MemoryTransport(welcome=welcome(), on_send=server)
    second = MemoryTransport(welcome=welcome(), on_send=server)
    seen = Log()
    async with Connection(Factory(first, second), backoff=Constant(0.0)) as conn, RoomManager(conn) as rooms:
        await rooms.join_room("r", seen.callbacks("on_resync"))
        refuse = True
        first.drop()
        async with asyncio.timeout(5):
            while not seen.calls:
                await asyncio.sleep(0)
        assert "members only" in seen.calls[0][1].reason
        assert "r" not in rooms


def _ack(transport, message):
    if message.type == "join_room":
        room = message.payload["roomId"]
        details = {"roomId": room, "recovered": False, "epoch": "e1", "offset": 0}
        transport.push(Message("ack", details, id=message.id))
