"""A broker that answers later: nobody overtakes himself, and every ack says what the broker said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import websockets

from rtlab.client.client_factory_by_transport import make_client
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.errors import RequestRefused
from rtlab.protocol.message_format import Message
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.handlers import publish
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from tests.server.endpoints.test_websocket import get, say
from tests.server.slow_broker import SlowBroker

TRANSPORTS = ("websocket", "sse", "longpoll", "webrtc")


class Lab:
    def __init__(self, server: Server, broker: SlowBroker) -> None:
        self.server = server
        self.broker = broker
        self.url = f"http://127.0.0.1:{server.port}"
        self.ws_url = f"ws://127.0.0.1:{server.port}/ws"

    def connect(self, query: str = "") -> websockets.connect:
        return websockets.connect(self.ws_url + query, compression=None)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made: list[SlowBroker] = []

    def make(hub: Any) -> SlowBroker:
        made.append(SlowBroker(hub))
        return made[0]

    server = Server(Node(Options(token="t", stop_window=0.0, poll_timeout=1.0), make_broker=make))
    await server.start()
    yield Lab(server, made[0])
    for _ in made[0].outstanding[:]:
        made[0].fail()
    await server.stop()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_order_of_each_sender_holds_and_acks_have_the_right_offsets(
    lab: Lab, transport: str
) -> None:
    answering = asyncio.create_task(lab.broker.run())
    seen: list[Message] = []
    async with make_client(transport, lab.url) as first, make_client(transport, lab.url) as second:
        for conn in (first, second):
            await conn.join_room("r")
        first.on("n", seen.append)

        async def publish_all(conn: Any, name: str) -> list[Message]:
            return list(await asyncio.gather(*(conn.request("n", [name, n], room_id="r") for n in range(12))))

        acks = dict(
            zip(
                "ab",
                await asyncio.gather(publish_all(first, "a"), publish_all(second, "b")),
                strict=True,
            )
        )
        await until(lambda: len(seen) == 24)
    answering.cancel()
    assert [m.offset for m in seen] == list(range(1, 25))
    for name in "ab":
        own = [m for m in seen if m.payload[0] == name]
        assert [m.payload[1] for m in own] == list(range(12))
        assert [ack.payload["offset"] for ack in acks[name]] == [m.offset for m in own]
        assert {ack.payload["epoch"] for ack in acks[name]} == {m.epoch for m in own}
    assert set(lab.broker.most.values()) == {1}, "a sender's next message waits for the answer"


async def test_nothing_of_the_sender_overtakes_and_others_do_not_wait(lab: Lab) -> None:
    async with lab.connect("?clientId=ada") as ada, lab.connect("?clientId=bob") as bob:
        for ws in (ada, bob):
            await say(ws, "join_room", {"roomId": "r"})
            await get(ws, "ack")
        await say(ada, "chat", 1, roomId="r", id="1")
        await say(ada, "echo", "behind", id="2")
        await say(ada, "leave_room", {"roomId": "r"}, id="3")
        await until(lambda: len(lab.broker.outstanding) == 1)
        await say(bob, "echo", "at once")
        assert (await get(bob, "echo"))["payload"] == "at once"
        await say(bob, "chat", 2, roomId="r", id="1")
        await until(lambda: len(lab.broker.outstanding) == 2)
        lab.broker.answer(1)
        assert (await get(bob, "ack"))["payload"]["offset"] == 1
        lab.broker.answer(0)
        got = [await get(ada, "chat", "ack", "echo") for _ in range(5)]
        assert [(m["type"], m.get("id")) for m in got] == [
            ("chat", "1"), ("chat", "1"), ("ack", "1"), ("echo", "2"), ("ack", "3"),
        ]  # fmt: skip
        assert got[2]["payload"]["offset"] == 2


async def test_a_batch_is_acknowledged_when_all_of_it_has_its_answer(lab: Lab) -> None:
    async with lab.connect() as ws:
        await say(ws, "join_room", {"roomId": "r"})
        await get(ws, "ack")
        items = [
            {"type": "n", "payload": 0, "roomId": "r", "id": "a"},
            {"type": "echo", "payload": "between"},
            {"type": "n", "payload": 1, "roomId": "r", "id": "b"},
            {"type": "n", "payload": 2, "roomId": "elsewhere", "id": "c"},
            {"type": "n", "payload": 3, "roomId": "r", "id": "d"},
        ]
        await say(ws, "batch", items, id="9")
        for n in range(2):
            await until(lambda: len(lab.broker.outstanding) == 1)
            assert lab.broker.outstanding[0][1].payload == n
            lab.broker.answer()
        await until(lambda: len(lab.broker.outstanding) == 1)
        lab.broker.fail()
        got = [await get(ws, "n", "echo", "ack") for _ in range(4)]
        assert [m["type"] for m in got] == ["n", "echo", "n", "ack"]
        results = got[3]["payload"]["results"]
        assert [r["ok"] for r in results] == [True, True, True, False, False]
        assert [r.get("offset") for r in results] == [1, None, 2, None, None]
        assert [r["error"]["code"] for r in results[3:]] == ["not_joined", "not_published"]


async def test_posts_at_the_same_time_keep_the_order_in_which_they_came(lab: Lab) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        first = (await http.get(f"{lab.url}/poll", params={"room": "r"})).json()
        session = first["messages"][0]["payload"]["session"]

        async def post(*payloads: int) -> list[Any]:
            body = [{"type": "n", "payload": n, "roomId": "r", "id": str(n)} for n in payloads]
            answer = await http.post(f"{lab.url}/send", params={"session": session}, json=body)
            return [result["offset"] for result in answer.json()["results"]]

        one = asyncio.create_task(post(0, 1, 2))
        await until(lambda: len(lab.broker.outstanding) == 1)
        two = asyncio.create_task(post(3, 4))
        order = next(iter(lab.server.node.sessions)).order
        await until(lambda: order.waiting == 5)
        answering = asyncio.create_task(lab.broker.run(0.001))
        assert (await one, await two) == ([1, 2, 3], [4, 5])
        answering.cancel()
        polled = (await http.get(f"{lab.url}/poll", params={"cursor": first["cursor"]})).json()
        assert [m["payload"] for m in polled["messages"] if m["type"] == "n"] == [0, 1, 2, 3, 4]


async def test_a_post_that_is_given_up_holds_nobody_and_nothing_overtakes(lab: Lab) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        first = (await http.get(f"{lab.url}/poll", params={"room": "r"})).json()
        session = first["messages"][0]["payload"]["session"]
        url, query = f"{lab.url}/send", {"session": session}
        message = {"type": "n", "payload": 0, "roomId": "r"}
        given_up = asyncio.create_task(http.post(url, params=query, json=message))
        await until(lambda: len(lab.broker.outstanding) == 1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        second = asyncio.create_task(http.post(url, params=query, json={**message, "payload": 1}))
        order = next(iter(lab.server.node.sessions)).order
        await until(lambda: order.waiting == 2)
        assert len(lab.broker.outstanding) == 1
        lab.broker.answer()
        await until(lambda: len(lab.broker.outstanding) == 1)
        lab.broker.answer()
        assert (await second).json()["results"][0]["offset"] == 2


async def give_up(lab: Lab, session: str, body: Any) -> None:
    """Send a numbered POST on a connection of its own, which breaks while the broker is asked."""
    assert lab.server._runner is not None
    web_server = lab.server._runner.server
    assert web_server is not None
    before = len(web_server.connections)
    async with httpx.AsyncClient(trust_env=False) as proxy:
        headers = {"Idempotency-Key": "17"}
        post = asyncio.create_task(
            proxy.post(f"{lab.url}/send", params={"session": session}, json=body, headers=headers)
        )
        await until(lambda: len(lab.broker.outstanding) == 1)
        post.cancel()
        with pytest.raises(asyncio.CancelledError):
            await post
    await until(lambda: len(web_server.connections) == before)
    await asyncio.sleep(0)  # the handler that was cancelled has its turn


@pytest.mark.parametrize("early", [True, False], ids=["while it waits", "afterwards"])
async def test_the_repeat_of_a_post_whose_connection_broke_has_the_answer_of_the_first(
    lab: Lab, early: bool
) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        first = (await http.get(f"{lab.url}/poll", params={"room": "r"})).json()
        session = first["messages"][0]["payload"]["session"]
        url, query, headers = f"{lab.url}/send", {"session": session}, {"Idempotency-Key": "17"}
        body = [{"type": "n", "payload": n, "roomId": "r"} for n in range(2)]
        await give_up(lab, session, body)
        if early:
            repeat = asyncio.create_task(http.post(url, params=query, json=body, headers=headers))
        for _ in body:
            await until(lambda: len(lab.broker.outstanding) == 1)
            lab.broker.answer()
        if not early:
            repeat = asyncio.create_task(http.post(url, params=query, json=body, headers=headers))
        answer = await repeat
        assert (answer.status_code, answer.json()["accepted"]) == (200, 2)
        assert [result["offset"] for result in answer.json()["results"]] == [1, 2]
        assert lab.server.node.hub.published == 2


async def test_a_server_that_stops_gives_up_the_posts_that_its_broker_does_not_answer(lab: Lab) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        first = (await http.get(f"{lab.url}/poll", params={"room": "r"})).json()
        session = first["messages"][0]["payload"]["session"]
        await give_up(lab, session, {"type": "n", "roomId": "r"})
    async with asyncio.timeout(20):
        await lab.server.stop()
    assert [task for task in asyncio.all_tasks() if "POST" in task.get_name()] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_failure_is_an_error_to_the_sender_alone_and_the_next_goes_on(
    lab: Lab, transport: str
) -> None:
    async with make_client(transport, lab.url) as conn:
        await conn.join_room("r")
        failing = asyncio.create_task(conn.request("chat", 1, room_id="r"))
        await until(lambda: len(lab.broker.outstanding) == 1)
        lab.broker.fail()
        with pytest.raises(RequestRefused, match="the broker is down"):
            await failing
        well = asyncio.create_task(conn.request("chat", 2, room_id="r"))
        await until(lambda: len(lab.broker.outstanding) == 1)
        lab.broker.answer()
        assert (await well).payload["offset"] == 1


async def test_a_broker_that_never_answers_is_given_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(publish.__globals__, "BROKER_TIMEOUT", 0.05)
    async with lab.connect() as ws:
        await say(ws, "join_room", {"roomId": "r"})
        await get(ws, "ack")
        await say(ws, "chat", 1, roomId="r", id="1")
        error = await get(ws, "error")
        assert (error["payload"]["code"], error["id"]) == ("not_published", "1")
        assert "no answer within" in error["payload"]["message"]
        lab.broker.answer()  # too late, and no crash
        await say(ws, "echo", 2)
        assert (await get(ws, "echo"))["payload"] == 2


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_what_a_client_said_before_it_left_is_published(lab: Lab, how: str) -> None:
    async with lab.connect() as witness:
        await say(witness, "join_room", {"roomId": "r"})
        await get(witness, "ack")
        async with lab.connect() as leaving:
            await say(leaving, "join_room", {"roomId": "r"})
            await get(leaving, "ack")
            await say(leaving, "chat", 1, roomId="r")
            await until(lambda: len(lab.broker.outstanding) == 1)
            if how == "abort":
                leaving.transport.abort()
            else:
                await say(leaving, "chat", 2, roomId="r")
                closing = asyncio.create_task(leaving.close())
                await asyncio.sleep(0)
                lab.broker.answer()
                await until(lambda: len(lab.broker.outstanding) == 1)
                await asyncio.sleep(0)
                lab.broker.answer()
                await closing
        if how == "abort":
            await until(lambda: len(lab.server.node.connections.sinks) == 1)
            lab.broker.answer()
        wanted = [1] if how == "abort" else [1, 2]
        assert [(await get(witness, "chat"))["payload"] for _ in wanted] == wanted


async def test_a_webrtc_client_that_says_goodbye_is_ended_behind_what_it_sent(lab: Lab) -> None:
    async with lab.connect() as witness:
        await say(witness, "join_room", {"roomId": "r"})
        await get(witness, "ack")
        conn = WebRTCChannel(lab.url)
        await conn.connect()
        await conn.join_room("r")
        for n in range(3):
            await conn.send("chat", n, room_id="r")
        await until(lambda: len(lab.broker.outstanding) == 1)
        await conn.close()
        answering = asyncio.create_task(lab.broker.run(0.001))
        assert [(await get(witness, "chat"))["payload"] for _ in range(3)] == [0, 1, 2]
        await until(lambda: len(lab.server.node.sessions) == 1)
        answering.cancel()


async def test_a_sender_without_end_is_held_back(lab: Lab) -> None:
    """TCP holds a WebSocket back; a POST is told to come later."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        first = (await http.get(f"{lab.url}/poll", params={"room": "r"})).json()
        session = first["messages"][0]["payload"]["session"]
        body = json.dumps([{"type": "n", "roomId": "r"}] * 1000).encode()
        order = next(iter(lab.server.node.sessions)).order
        posts = [
            asyncio.create_task(http.post(f"{lab.url}/send", params={"session": session}, content=body))
            for _ in range(6)
        ]
        refused = next(asyncio.as_completed(posts))
        answer = await refused
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert answer.headers["Retry-After"] == "1"
        assert order.waiting <= 5000
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
        lab.server.node.connections.end(next(iter(lab.server.node.sessions)))
