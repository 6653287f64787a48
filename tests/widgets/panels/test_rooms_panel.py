"""The rooms panel: rooms of code and of the reader, who is there, what is said, and nonsense."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from typing import Any

from rtlab.patterns.room_manager import RoomManager
from rtlab.widgets.panels.rooms_panel import RoomsPanel
from tests.patterns.in_process import client, drop_silently, serving


async def press(panel: RoomsPanel, **content: Any) -> None:
    panel._from_any_thread(panel, content, [])
    await asyncio.sleep(0)  # the message hops to this loop
    await panel.settled()


async def test_rooms_are_joined_watched_and_left():
    async with (
        asyncio.timeout(30),
        serving() as server,
        client(server, client_id="ada") as ada,
        client(server, client_id="bob") as bob,
        RoomManager(ada) as rooms,
    ):
        called: list[Any] = []
        panel = RoomsPanel(rooms)
        answers: list[Any] = []
        panel.send = lambda content, *_: answers.append(content)  # type: ignore[method-assign]
        await press(panel, action="join", room=" lobby ")
        assert answers == [{"kind": "joined", "room": " lobby "}]
        assert panel.status == "joined lobby"
        await rooms.join_room("news", {"on_message": called.append})  # by code
        await bob.join_room("lobby")
        await bob.join_room("news")
        await bob.send("chat", {"text": "<b>hi</b>", "from": "ada"}, room_id="lobby")
        for n in range(25):
            await bob.send("tick", n, room_id="news")
        await bob.ping()
        await ada.ping()
        while len(rooms.active_users("lobby")) < 2:  # told a few times a second
            await asyncio.sleep(0.01)
        await press(panel, action="look")
        lobby, news = panel.rooms
        assert (lobby["id"], lobby["users"], lobby["offset"], lobby["count"]) == (
            "lobby",
            ["ada", "bob"],
            1,
            1,
        )
        assert lobby["lines"] == [{"n": 1, "from": "bob", "text": "<b>hi</b>", "offset": 1}]
        assert (news["offset"], news["count"], len(news["lines"])) == (25, 25, 20)
        assert news["lines"][-1]["text"] == "tick 24"
        assert len(called) == 25  # the room's own callback has its turn too
        assert "['lobby', 'news']" in panel.code

        await press(panel, action="join", room="lobby")
        assert panel.status == "in lobby already"
        for name in ("", "a\x00b", "x" * 300):
            await press(panel, action="join", room=name)
            assert panel.tone == "bad"
        await press(panel, action="join", room=7)
        await press(panel, action="leave", room="no such")
        assert panel.status == "not in no such"
        assert [room["id"] for room in panel.rooms] == ["lobby", "news"]
        await press(panel, action="leave", room="lobby")
        assert panel.status == "left lobby"
        assert ([room["id"] for room in panel.rooms], list(rooms)) == (["news"], ["news"])

        drop_silently(server, "news")
        await ada.join_room("news", probe=True)
        await panel.look()
        assert panel.rooms[0]["lines"][-1]["text"].startswith("messages may be missing here")
        count = panel.rooms[0]["count"]
        panel.close()
        await bob.send("tick", "after", room_id="news")
        await bob.ping()
        await ada.ping()
        assert panel._seen["news"].count == count


async def test_without_a_connection_a_join_is_refused_in_words():
    async with serving() as server:
        rooms = RoomManager(client(server))
        panel = RoomsPanel(rooms)
        await press(panel, action="join", room="lobby")
        assert panel.tone == "bad"
        assert "connect" in panel.status
        assert (panel.rooms, panel.connection) == ([], "Disconnected")


async def test_what_was_seen_last_stays_to_be_read_when_the_rooms_are_closed():
    async with asyncio.timeout(30), serving() as server, client(server, client_id="ada") as ada:
        rooms = RoomManager(ada)
        panel = RoomsPanel(rooms)
        await rooms.join_room("lobby")
        await panel.look()
        seen = panel.rooms
        rooms.close()
        await panel.look()
        assert [room["id"] for room in panel.rooms] == ["lobby"]
        assert (panel.rooms, panel.connection) == (seen, "closed: this is what was seen last")
