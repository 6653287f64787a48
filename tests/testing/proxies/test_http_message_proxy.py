"""Single messages of an event stream, of long polls and of POSTs, in front of the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from rtlab import Lab, LongPolling, ServerSentEvents
from rtlab.errors import ConnectFailed, RtlabError
from rtlab.testing.mock.mock_script_steps import ScriptError
from rtlab.testing.proxies.http_message_proxy import HttpMessageProxy
from rtlab.testing.proxies.proxy_rules_for_single_messages import MessageRules
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

BOTH = pytest.mark.parametrize("make", [ServerSentEvents, LongPolling])
#: For what must not come, and for what comes.
SHORT, LONG = 0.5, 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab() as lab:
        yield lab


@BOTH
@pytest.mark.asyncio(loop_scope="module")
async def test_one_message_is_changed_dropped_repeated_or_held_each_way(make, lab):
    async with HttpMessageProxy(lab.url) as proxy, asyncio.timeout(LONG):
        async with make(proxy.url) as conn:
            echoed: list[object] = []
            conn.on("echo", lambda message: echoed.append(message.payload))
            assert (await conn.request("echo", "a b\nc", timeout=LONG)).payload == "a b\nc"  # as it came

            proxy.change("server", {"payload": "one"}, lambda message: {**message, "payload": "1"})
            proxy.change("client", {"payload": "two"}, lambda message: {**message, "payload": "2"})
            for asked, answer in (("one", "1"), ("two", "2"), ("one", "one")):
                assert (await conn.request("echo", asked, timeout=LONG)).payload == answer

            proxy.drop("server", {"payload": "lost"})
            proxy.drop("client", {"payload": "never"})
            for lost in ("lost", "never"):
                with pytest.raises(TimeoutError):
                    await conn.request("echo", lost, timeout=SHORT)

            echoed.clear()
            proxy.repeat("client", {"payload": "again"}, copies=3)
            await conn.send("echo", "again")
            assert (await conn.request("echo", "done", timeout=LONG)).payload == "done"
            assert echoed == ["again"] * 3 + ["done"]

            for sender in ("server", "client"):
                held = proxy.hold(sender, {"payload": sender})
                asked = asyncio.ensure_future(conn.request("echo", sender, timeout=LONG))
                assert f'"{sender}"' in await held.arrived(LONG)
                assert not asked.done()
                held.release()
                assert (await asked).payload == sender
            assert conn.stats.disconnects == 0
        assert "holds" in proxy.journal.diagram(200)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_client_that_goes_ends_its_stream_at_the_server(lab):
    async def streams() -> int:
        return (await lab.stats())["connections"].get("sse", 0)

    async with HttpMessageProxy(lab.url) as proxy, asyncio.timeout(LONG):
        async with ServerSentEvents(proxy.url):
            assert await streams() == 1
        while await streams():
            await asyncio.sleep(0.01)


async def test_a_body_whose_text_is_not_utf_8_passes_unchanged_both_ways():
    bodies = {
        "/send": b'[{"type":"a"},{"type":"a","payload":"\xff"}]',
        "/poll": b'{"messages":[{"x":"\xff"}]}',
    }

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        writer.write(response(200, bodies["/poll"], content_type="application/json"))
        return True

    async with ScriptedServer(script) as server, HttpMessageProxy(server.url) as proxy, asyncio.timeout(LONG):
        proxy.drop("client", {"type": "a"})
        send = f"{proxy.url.rstrip('/')}/send"
        async with aiohttp.ClientSession() as plain:
            async with plain.post(send, data=bodies["/send"]) as answer:
                assert (answer.status, await answer.read()) == (200, bodies["/poll"])
            async with plain.post(send, data=b'[{"type":"a"},{"type":"b"}]'):
                pass
    # The rule was not used up: no message was seen in the first body.
    assert [request.body for request in server.requests] == [bodies["/send"], b'{"type":"b"}']


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_no_message_passes_and_what_cannot_is_said(lab):
    async with HttpMessageProxy(lab.url) as proxy, aiohttp.ClientSession() as plain:
        proxy.drop("server", ..., times=9)
        async with plain.get(f"{proxy.url.rstrip('/')}/healthz") as health:
            assert (health.status, bool(await health.read())) == (200, True)
        async with plain.post(f"{proxy.url.rstrip('/')}/send?session=none", data=b"\xff[") as refused:
            assert refused.status == 404
        with pytest.raises(aiohttp.WSServerHandshakeError, match="501"):
            await plain.ws_connect(f"{proxy.url.rstrip('/')}/ws")
    async with HttpMessageProxy("http://127.0.0.1:1") as nobody:
        with pytest.raises(ConnectFailed, match="502"):
            await ServerSentEvents(nobody.url, max_reconnect_attempts=0).connect()
    with pytest.raises(RtlabError, match="expected a proxy that listens: write `async with Http"):
        _ = nobody.url
    with pytest.raises(ScriptError, match="repeat: expected copies above 1, got 1"):
        MessageRules().repeat("server", ..., copies=1)
