"""Long polls of a server on this loop, whose clock stands: what one POST sends arrives in one turn."""

from __future__ import annotations

import asyncio
from typing import Any

from rtlab.server.sessions.session_limits import SessionLimits
from tests.server.test_full import client, serving, until


async def test_a_poll_that_is_overrun_loses_nothing_that_it_says_was_recovered() -> None:
    async with (
        serving(clock=lambda: 0.0, sessions=SessionLimits(backlog_messages=3), poll_timeout=20.0) as server,
        client(server) as http,
    ):
        connections, sessions = server.node.connections, server.node.sessions

        async def poll(cursor: str) -> dict[str, Any]:
            answer = await http.get("/poll", params={"cursor": cursor}, timeout=30)
            assert answer.status_code == 200
            return answer.json()

        answer = (await http.get("/poll", params={"room": ["r", "q"]})).json()
        session = answer["messages"][0]["payload"]["session"]
        told: list[str] = []
        while len(told) < 2:  # who is in the rooms
            answer = await poll(answer["cursor"])
            told += [message["roomId"] for message in answer["messages"]]
        waiting = asyncio.create_task(poll(answer["cursor"]))
        await until(lambda: connections.sinks)
        chats = [{"type": "chat", "roomId": room, "payload": n} for room in "rq" for n in (1, 2)]
        assert (await http.post("/send", params={"session": session}, json=chats)).json()["accepted"] == 4
        answer = await waiting
        welcome, *messages = answer["messages"]
        assert (welcome["type"], welcome["payload"]["resumed"]) == ("welcome", False)
        assert welcome["payload"]["session"] != session
        rooms = welcome["payload"]["rooms"]
        got = {
            room: [m["payload"] for m in messages if m["type"] == "chat" and m["roomId"] == room]
            for room in "rq"
        }
        for room in "rq":
            assert got[room] == ([1, 2] if rooms[room]["recovered"] else []), (room, rooms, got)
        assert rooms["r"]["recovered"]
        # It waits for its client like any other session, and the next message continues the room.
        assert [found.session_id for found in sessions] == [welcome["payload"]["session"]]
        assert sessions.unused() is next(iter(sessions))
        more = {"type": "chat", "roomId": "r", "payload": 3}
        query = {"session": welcome["payload"]["session"]}
        assert (await http.post("/send", params=query, json=more)).status_code == 200
        offsets: list[int] = []
        while not offsets:
            answer = await poll(answer["cursor"])
            offsets = [m["offset"] for m in answer["messages"] if m["type"] == "chat"]
        assert offsets == [3]
