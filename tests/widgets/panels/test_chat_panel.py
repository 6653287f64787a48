"""The chat panel: two users of a real room, what a browser's messages do, and what nonsense does not."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rtlab.errors import InvalidState, RequestRefused, RtlabError
from rtlab.widgets.panels.chat_panel import ChatPanel
from rtlab.widgets.panels.chat_text_check import MAX_TEXT, text_of
from tests.patterns.in_process import client, drop_silently, serving

NASTY = [
    "<img src=x onerror=alert(1)>",
    "\u202etxet",
    "a\x00b",
    "\n" * 9,
    ["no", {"text": 1}],
    {"text": None},
    None,
    "x" * 100_000,
    "\ud800",
]


@pytest.mark.parametrize("payload", NASTY, ids=range(len(NASTY)))
def test_whatever_a_message_holds_becomes_text_that_a_browser_can_get(payload: Any) -> None:
    for given in (payload, {"text": payload}):
        text = text_of(given)
        assert len(text) <= MAX_TEXT + 60
        assert json.dumps({"text": text}, ensure_ascii=False).encode()


class Front:
    """The other end of a panel's comm."""

    def __init__(self, panel: ChatPanel) -> None:
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        panel.send = lambda content, *_: self.answers.put_nowait(content)  # type: ignore[method-assign]
        self._panel = panel

    def press(self, **content: Any) -> None:
        self._panel._from_any_thread(self._panel, content, [])

    async def say(self, user: str, text: object, n: int = 1) -> str:
        self.press(action="say", user=user, text=text, n=n)
        answer = await self.answers.get()
        assert (answer["kind"], answer["user"], answer["n"]) == ("answer", user, n)
        return answer["why"]


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_two_users_talk_see_each_other_and_leave():
    async with (
        asyncio.timeout(30),
        serving(max_message_bytes=6_000) as server,
        client(server, client_id="ada") as ada,
        client(server, client_id="bob") as bob,
    ):
        panel = ChatPanel("lobby", {"Ada": ada, "Bob": bob})
        front = Front(panel)
        front.press(action="say", user="Ada", text="too early", n=0)
        async with panel:
            assert await front.say("Ada", " <b>hi</b> ") == ""
            await until(lambda: ("ada", "<b>hi</b>") in panel.lines("Bob"))
            assert "nothing to send" in await front.say("Bob", "  ", 2)
            assert "2,000" in await front.say("Bob", "x" * 2_001, 3)
            assert "nothing to send" in await front.say("Bob", {"no": "text"}, 4)
            assert await front.say("Bob", "\ud800", 4)
            front.press(action="say", user="Eve", text="hi", n=5)  # nobody of that name
            front.press(action="jump")
            # What a payload claims of its sender is not believed.
            await bob.send("chat", {"text": "me", "from": "ada", "clientId": "ada"}, room_id="lobby")
            await until(lambda: ("bob", "me") in panel.lines("Ada"))
            await until(lambda: panel.seats[0]["users"] == ["ada", "bob"])
            # Too large for the server in bytes, though not in characters.
            assert "limit of 6,000" in await front.say("Bob", "\U0001f600" * 2_000, 6)
            next(s for s in server.node.sessions if s.client_id == "bob").rooms.pop("lobby")
            assert await front.say("Bob", "from outside", 7) == ""
            await until(lambda: "not sent: you are not in room" in panel.seats[1]["status"])
            front.press(action="leave")
            assert await panel.wait(5)
        said = [line["text"] for line in panel.seats[0]["lines"] if line["from"]]
        assert said[0] == "<b>hi</b>"  # they stay to be read
        assert not panel.entered
        assert ada.state.value == "Connected"
        with pytest.raises(InvalidState):
            await panel.say("Ada", "after")
        assert not panel._tasks


async def test_what_is_written_without_a_connection_is_sent_once_there_is_one_again():
    async with (
        asyncio.timeout(30),
        serving() as server,
        client(server, client_id="ada") as ada,
        client(server, client_id="bob") as bob,
        ChatPanel("lobby", {"Ada": ada, "Bob": bob}) as panel,
    ):
        session = next(s for s in server.node.sessions if s.client_id == "ada")
        ada.on("disconnected", lambda event: spoken.append(panel.say("Ada", "while away")))
        spoken: list[Any] = []
        session.sink.abort()
        await until(lambda: spoken)
        await spoken[0]
        await until(lambda: ("ada", "while away") in panel.lines("Bob"))
        assert [line for line in panel.lines("Bob") if line[0]] == [("ada", "while away")]


async def test_all_users_leave_at_once():
    async with (
        asyncio.timeout(10),
        serving() as server,
        client(server, client_id="ada") as ada,
        client(server, client_id="bob") as bob,
    ):
        both = asyncio.Barrier(2)
        async with ChatPanel("lobby", {"Ada": ada, "Bob": bob}) as panel:
            for seat in panel._seats.values():
                seat.rooms.leave_room = lambda room_id: both.wait()  # type: ignore[method-assign]
        assert not panel.entered


async def test_a_gap_is_shown_and_a_panel_that_cannot_enter_has_left_no_one_behind():
    async with asyncio.timeout(30), serving() as server, client(server, client_id="ada") as ada:
        async with ChatPanel("lobby", {"Ada": ada}) as panel:
            drop_silently(server, "lobby")
            await ada.join_room("lobby", probe=True)
            assert any("may be missing" in text for _, text in panel.lines("Ada"))
            assert not await panel.wait(0.01)
        with pytest.raises(RequestRefused, match="printable"):
            async with ChatPanel("a\x00b", {"Ada": ada}):
                pass


async def test_if_one_user_cannot_join_the_others_leave_again():
    async with (
        asyncio.timeout(30),
        serving() as server,
        client(server, client_id="ada") as ada,
        client(server, client_id="bob") as bob,
    ):
        await bob.close()
        panel = ChatPanel("lobby", {"Ada": ada, "Bob": bob})
        with pytest.raises(RtlabError):
            async with panel:
                pass
        (session,) = (s for s in server.node.sessions if s.client_id == "ada")
        assert "lobby" not in session.rooms
        assert not panel.entered


async def test_a_closed_panel_listens_no_more_and_has_no_work_left():
    async with asyncio.timeout(30), serving() as server, client(server, client_id="ada") as ada:
        before = {name: list(found) for name, found in ada._emitter._handlers.items()}
        panel = ChatPanel("lobby", {"Ada": ada})
        await panel.__aenter__()
        await panel.say("Ada", "hi")
        tasks = list(panel._tasks)
        panel.close()
        panel.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert {name: list(found) for name, found in ada._emitter._handlers.items() if found} == before
        assert (panel._timer, panel._tasks, panel.entered) == (None, set(), False)
        assert ada.state.value == "Connected"
