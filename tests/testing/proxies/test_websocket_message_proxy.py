"""Single messages between real sockets; the same rules in memory. That all else passes, the contract says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets

from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.errors import ConnectFailed, RtlabError
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.in_memory.unreliable_network import MessageFaults
from rtlab.testing.mock.mock_script_steps import PeerScript, ScriptError, echo
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer, ScriptFailed
from rtlab.testing.proxies.proxy_rules_for_single_messages import MessageRules
from rtlab.testing.proxies.websocket_message_proxy import MessageProxy

WORDS = ["one", "two", "three", "four"]


@contextlib.asynccontextmanager
async def real(link=None) -> AsyncIterator[tuple]:
    """An echo server, a proxy in front of it, and a client: all on sockets."""

    async def serve(ws):
        async for data in ws:
            await ws.send(data)
            if data == "bye":
                await ws.close(4001, "why")

    async with websockets.serve(serve, "127.0.0.1", 0, subprotocols=["b"]) as server:
        port = server.sockets[0].getsockname()[1]
        async with (
            MessageProxy(f"ws://127.0.0.1:{port}/some?q=1", link=link) as proxy,
            websockets.connect(proxy.url, subprotocols=["a", "b"], proxy=None) as ws,
        ):
            yield proxy, ws


@contextlib.asynccontextmanager
async def in_memory() -> AsyncIterator[tuple]:
    rules = MessageRules()
    async with MockWebSocket(ScriptedPeer(PeerScript().answer(echo), link=rules)) as ws:
        yield rules, ws


async def received(ws, count: int) -> list:
    async with asyncio.timeout(30):
        return [await ws.recv() for _ in range(count)]


async def story(world) -> list:
    """Drop, change and hold; return what came."""
    async with world() as (rules, ws):
        rules.drop("client", "one")
        rules.change("server", lambda text: text.startswith("t"), str.upper, times=2)
        for word in WORDS:
            await ws.send(word)
        got = await received(ws, 3)
        one_by_one = rules.hold("server", "one")
        for word in WORDS[:2]:
            await ws.send(word)
        got += [await one_by_one.arrived(30), *await received(ws, 1)]  # "two" passes by
        one_by_one.release()
        got += await received(ws, 1)
        behind = rules.hold("server", "one", alone=False)
        for word in WORDS:
            await ws.send(word)
        await behind.arrived(30)
        behind.release()
        got += await received(ws, 4)
        early = rules.hold("client", "one")
        early.release()
        await ws.send("one")
        return got + await received(ws, 1)


TOLD = ["TWO", "THREE", "four", "one", "two", "one", *WORDS, "one"]


async def test_single_messages_between_sockets():
    assert await story(real) == TOLD


def test_the_same_rules_in_memory():
    assert FakeClock().run(story(in_memory)) == TOLD


def test_each_held_message_keeps_back_only_what_waits_for_it():
    async def main():
        async with in_memory() as (rules, ws):
            aside = rules.hold("client", "one")
            blocks = rules.hold("client", "two", alone=False)
            again = rules.hold("client", "three", alone=False)
            for word in WORDS:
                await ws.send(word)
            seen = [list(ws.peer.received)]
            for held in (aside, blocks, again):
                held.release()
                seen.append(list(ws.peer.received))
            return seen

    one, two, three, four = WORDS
    assert FakeClock().run(main()) == [[], [one], [one, two], [one, two, three, four]]


async def test_the_ends_the_path_and_the_subprotocol_pass():
    async with real() as (proxy, ws):
        assert (ws.subprotocol, proxy.url.partition("/some")[2]) == ("b", "?q=1")
        await ws.send("bye")
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (4001, "why")
    assert "<--- close 4001 why" in proxy.journal.diagram()


async def test_faults_by_seed_on_sockets():
    async with real(MessageFaults(3, repeat=1)) as (_, ws):
        await ws.send("x")
        assert await received(ws, 4) == ["x"] * 4


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ([("Retry-After", "7")], "7"),
        ([("Date", "Tue, 15 Nov 1994 08:12:31 GMT"), ("Retry-After", "Tue, 15 Nov 1994 08:12:34 GMT")], "3"),
        ([("Retry-After", "7"), ("Retry-After", "8")], "7"),
        ([("Retry-After", "soon")], None),
    ],
)
async def test_a_refusal_passes_and_a_server_that_is_gone_is_a_502(fields, hint):
    async def refuse(connection, request):
        response = connection.respond(503, "later\n")
        del response.headers["Date"]
        for name, value in fields:
            response.headers[name] = value
        return response

    async with websockets.serve(None, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        async with MessageProxy(f"ws://127.0.0.1:{port}") as proxy:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(proxy.url, proxy=None, open_timeout=30)
            response = refused.value.response
            assert (response.status_code, response.headers.get("Retry-After")) == (503, hint)
            server.close()
            await server.wait_closed()
            with pytest.raises(websockets.InvalidStatus) as gone:
                await websockets.connect(proxy.url, proxy=None, open_timeout=30)
    assert gone.value.response.status_code == 502
    assert b"the server cannot be reached: " in gone.value.response.body


async def test_it_ends_while_a_message_is_held_and_leaves_nothing():
    before = asyncio.all_tasks()
    async with real() as (proxy, ws):
        held = proxy.hold("server", "one", alone=False)
        await ws.send("one")
        await held.arrived(30)
    assert asyncio.all_tasks() == before
    held.release()  # to nobody


async def cannot_be_awaited(text): ...


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda text: 1 / 0, "ZeroDivisionError"),
        (lambda text: pytest.fail("not so"), "not so"),
        (lambda text: object(), "TypeError"),
        (lambda text: cannot_be_awaited(text), "TypeError"),
    ],
)
async def test_a_function_that_raises_is_told_at_the_end(change, error):
    async def wrong():
        async with real() as (proxy, ws):
            proxy.change("client", "one", change)
            await ws.send("one")
            await ws.send("two")
            assert await received(ws, 1) == ["two"]

    with pytest.raises(ScriptFailed, match=f"connection 1: change raised {error}"):
        await wrong()


async def test_what_is_wrong_is_said():
    with pytest.raises(RtlabError, match="expected a proxy that listens: write `async with"):
        _ = MessageProxy("ws://127.0.0.1:1").url
    rules = MessageRules()
    with pytest.raises(ScriptError, match="expected 'client' or 'server', who sends the message, got 'peer'"):
        rules.drop("peer", ...)
    with pytest.raises(ScriptError, match="expected times above 0"):
        rules.drop("client", ..., times=0)
    with pytest.raises(ScriptError, match="expected a function of a message, got 'x'"):
        rules.change("client", ..., "x")
    with pytest.raises(TimeoutError, match="expected a message to hold within 0 s, none that fits came"):
        await rules.hold("client", "x").arrived(0)


@pytest.mark.parametrize("make", [ServerSentEvents, LongPolling])
async def test_an_event_stream_or_a_poll_is_told_that_it_is_no_websocket(make):
    async with MessageProxy("http://127.0.0.1:1/") as proxy:
        url = proxy.url.replace("ws", "http", 1)
        with pytest.raises(ConnectFailed, match="426"):
            await make(url, max_reconnect_attempts=0).connect()
        async with httpx.AsyncClient(trust_env=False) as plain:
            answer = await plain.get(url, timeout=30)
    assert (answer.status_code, answer.headers["Upgrade"]) == (426, "websocket")
    assert (
        "carries WebSockets only. For an event stream or a long poll use "
        "rtlab.testing.proxies.http_message_proxy" in answer.text
    )
