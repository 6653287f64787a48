"""What rooms promise on every transport: names, users, limits, presence, the newest value."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import httpx
import pytest
import pytest_asyncio

from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import RequestRefused
from rtlab.lab.lab import Lab
from rtlab.patterns.room_manager import RoomManager
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

KINDS = (WebSocketConnection, ServerSentEvents, LongPolling, WebRTCChannel)
on_all_four = pytest.mark.parametrize("kind", KINDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab():
    async with Lab(leave_grace=0.2, history_messages=5, cache_rooms="price/") as running:
        yield running


def client(lab, kind, query="", **options):
    base = lab.ws_url if kind is WebSocketConnection else lab.url
    return kind(base + query, backoff=Constant(0.02), **options)


class Seen(asyncio.Queue[object]):
    """What callbacks were called with."""

    def of(self, name: str) -> dict[str, object]:
        return {name: self.put_nowait}

    async def until(self, wanted: object) -> None:
        async with asyncio.timeout(20):
            while await self.get() != wanted:
                pass


@on_all_four
async def test_names_users_and_memberships_have_limits(lab, kind):
    async with asyncio.timeout(30), client(lab, kind, "?user=ada") as conn:
        for name in ("", "x" * 300, "a\x00b", "\u202eevil"):
            with pytest.raises(RequestRefused, match="printable") as caught:
                await conn.join_room(name)
            assert caught.value.code == "wrong_payload"
        await conn.request("join_room", {"roomId": "r", "user": "ada"})
        with pytest.raises(RequestRefused, match="'ada'") as caught:
            await conn.request("join_room", {"roomId": "r2", "user": "eve"})
        assert caught.value.code == "wrong_user"
        joins = [{"type": "join_room", "payload": {"roomId": f"many{n}"}} for n in range(64)]
        results = (await conn.request("batch", joins)).payload["results"]
        assert [r["ok"] for r in results] == [True] * 63 + [False]  # with "r" it is in 64
        assert results[-1]["error"]["code"] == "too_many_rooms"


@on_all_four
async def test_history_reaches_as_far_back_as_it_says(lab, kind):
    room = f"history {kind.__name__}"
    async with asyncio.timeout(30), client(lab, kind) as conn:
        start = (await conn.join_room(room)).payload
        for n in range(1, 7):
            await conn.request("chat", n, room_id=room)
            again = await conn.request("join_room", {**start, "offset": 0})
            assert again.payload["recovered"] is (n <= 5)


@on_all_four
async def test_a_cache_gives_each_subscriber_the_newest_value_at_once(lab, kind):
    room = f"price/{kind.__name__}"
    async with asyncio.timeout(30), client(lab, WebSocketConnection) as publisher:
        await publisher.join_room(room)
        for n in range(8):
            await publisher.request("price", n, room_id=room)
        for query in ("", f"?room={room}"):  # asked for, or named in the URL
            values: asyncio.Queue[Message] = asyncio.Queue()
            conn, resyncs = client(lab, kind, query), []
            conn.on("price", values.put_nowait)
            conn.on("resync", resyncs.append)
            async with conn:
                if not query:
                    await conn.join_room(room)
                assert (await values.get()).payload == 7
                assert not resyncs
                assert values.empty()


@on_all_four
async def test_a_session_is_not_continued_for_another_user(lab, kind):
    async with asyncio.timeout(30), client(lab, kind, "?user=ada") as conn:
        session = conn.welcome.payload["session"]
        path = {WebSocketConnection: "/ws", ServerSentEvents: "/sse", LongPolling: "/poll"}.get(
            kind, "/rtc/offer"
        )
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.request(
                "POST" if path == "/rtc/offer" else "GET",
                lab.url + path,
                params={"session": session, "user": "eve"},
                headers=upgrade if path == "/ws" else {},
            )
            sent = await http.post(lab.url + "/send", params={"session": session, "user": "eve"}, json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_user")
        assert sent.status_code == 404


CRASHES = """
import asyncio, sys
from rtlab import LongPolling, ServerSentEvents, WebSocketConnection

async def main(url, ws):
    sse, poll = ServerSentEvents(url, client_id="sse"), LongPolling(url, client_id="poll")
    for conn in (WebSocketConnection(ws, client_id="ws"), sse, poll):
        await conn.connect()
        await conn.join_room("crash")
    print("in", flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_users_of_a_process_that_was_killed_leave_whatever_their_transport(lab):
    """No data channel: no reset tells of it, and ICE's consent takes 30 s to expire (RFC 7675 §5.1)."""
    seen = Seen()
    async with (
        asyncio.timeout(30),
        client(lab, WebSocketConnection, client_id="me") as conn,
        RoomManager(conn) as rooms,
    ):
        await rooms.join_room("crash", seen.of("on_users_update"))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CRASHES, lab.url, lab.ws_url, stdout=asyncio.subprocess.PIPE
        )
        try:
            await seen.until(("me", "ws", "sse", "poll"))
        finally:
            child.kill()
            await child.wait()
        await seen.until(("me",))


async def test_a_restart_is_told_to_rooms_in_which_nothing_was_said():
    """No message has shown the clients a place: the answer to a join, or the welcome, has."""
    told: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()
    async with asyncio.timeout(40), Lab() as lab, contextlib.AsyncExitStack() as stack:
        for kind in KINDS:
            conn = client(lab, kind, "?room=named")
            conn.on("resync", lambda event, kind=kind: told.put_nowait((kind.__name__, event.room_id)))
            await (await stack.enter_async_context(conn)).join_room("joined")
        await lab.restart()
        seen = {await told.get() for _ in range(3 * len(KINDS))}
    assert seen == {(kind.__name__, room) for kind in KINDS for room in (None, "named", "joined")}
