"""Shared and single links on a real server: four transports, resume, and many components in random order."""

from __future__ import annotations

import asyncio
import random

import pytest
import reacton
import reacton.ipywidgets as w

from rtlab.errors import ConnectFailed
from rtlab.hooks.shared_connections import hooks_settled, join, open_links, plain_connect
from rtlab.hooks.use_websocket import use_websocket
from rtlab.policies.backoff import Constant
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response
from tests.hooks.memory_links import Server, rendered
from tests.memory import turns, until, welcome
from tests.patterns.in_process import publish, serving


@pytest.mark.parametrize("transport", ["websocket", "sse", "longpoll", "webrtc"])
async def test_any_transport_resumes_and_loses_nothing(transport):
    got, seen = [], []

    @reacton.component
    def Room(url):
        ws = use_websocket(
            url,
            transport=transport,
            filter=lambda message: message.type == "chat",
            backoff=Constant(0.01, min_uptime=0.0),
        )
        seen.append(ws)
        reacton.use_effect(lambda: got.extend(m.payload for m in ws.messages), [ws.frame])
        return w.Label()

    async with serving() as server, rendered(Room(f"http://127.0.0.1:{server.port}"), alone=False):
        async with asyncio.timeout(30):
            await until(lambda: seen[-1].connection_status == "Connected", 20)
            conn = seen[-1].connection
            await conn.join_room("r")
            publish(server, "r", 0)
            await until(lambda: got == [0], 20)
            conn._runner.transport.abort()
            publish(server, "r", 1)
            await until(lambda: got == [0, 1], 20)


async def test_a_crowd_on_one_socket_leaves_nothing_and_beats_once():
    server = Server()
    rng = random.Random(12)
    beats, open_now = [], []

    def connect(url, **options):
        conn = server(url, **{**options, "heartbeat": Ping(0.01, 10.0)})
        conn.on("connected", lambda _: open_now.append(1))
        conn.on("disconnected", lambda _: open_now.pop())
        return conn

    @reacton.component
    def One():
        use_websocket("ws://s/ws", connect=connect, share=True)
        return w.Label()

    trees = []
    for _ in range(100):
        if trees and rng.random() < 0.45:
            trees.pop(rng.randrange(len(trees))).close()
        else:
            trees.append(reacton.render(One(), handle_error=False)[1])
        await turns(rng.randrange(4))
        beats.append(sum(not t.aborted and t.closed_with is None for t in server.made))
        assert open_links() <= 1
        assert len(open_now) <= 1
    rng.shuffle(trees)
    for tree in trees:
        tree.close()
    await hooks_settled()
    assert max(beats) == 1
    assert open_links() == 0
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert all(transport.aborted for transport in server.made)


class Listener:
    """Notes what it is told, and at the first `what` removes another listener."""

    room, is_open = None, False

    def __init__(self, what, other=None):
        self.told = []
        self.what, self.other, self.link = what, other, None

    def __getattr__(self, name):
        def note(*_):
            self.told.append(name)
            if self.other is not None and name == self.what:
                self.link.remove(self.other)

        return note


@pytest.mark.parametrize("what", ["failed", "reconnects", "closed"])
async def test_a_listener_that_another_removes_is_told_nothing_more(what):
    no = ConnectFailed("the server answered 403", status=403, retryable=False)
    options = {"fail": no} if what == "failed" else {"welcome": welcome()}
    server = Server(lambda n: MemoryTransport(**options))
    second = Listener(what)
    first = Listener(what, second)
    for one in (first, second):
        one.link = join("key", server, "ws://s/ws", {}, one)
    await until(lambda: bool({"failed", "opened"} & set(first.told)))
    if what != "failed":
        server.made[0].drop(1012, "restart")
    await until(lambda: what in first.told)
    await turns()
    assert what not in second.told
    first.link.remove(first)
    await hooks_settled()
    assert open_links() == 0


@pytest.mark.parametrize(
    ("transport", "url", "target"),
    [
        ("websocket", "{ws}/mine?room=lobby", "/mine?room=lobby"),
        ("websocket", "{WS}/mine", "/mine"),
        ("websocket", "{http}?room=lobby", "/ws?room=lobby"),
        ("websocket", "{http}/ws", "/ws"),
        ("sse", "{http}/?room=lobby", "/sse?room=lobby"),
        ("longpoll", "{http}/base", "/base/poll?welcome=1"),
    ],
)
async def test_a_url_names_a_websocket_or_a_base(transport: str, url: str, target: str) -> None:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(response(404))

    async with ScriptedServer(script) as server, asyncio.timeout(20):
        ws = server.url.replace("http", "ws")
        url = url.format(http=server.url, ws=ws, WS=ws.replace("ws", "WS"))
        conn = plain_connect(transport)(url, retry_initial=False)
        with pytest.raises(ConnectFailed):
            await conn.connect()
        await conn.close()
        assert [request.target for request in server.requests] == [target]
