from __future__ import annotations

import asyncio

import pytest

from rtlab.client.client_factory_by_transport import TRANSPORTS, make_client
from rtlab.errors import ConnectFailed
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response


@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize("base", ["", "/", "/base", "/base/", "/base/ws"])
async def test_every_transport_reads_a_base_url_in_the_same_way(name: str, base: str) -> None:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(response(404))

    async with ScriptedServer(script) as server, asyncio.timeout(20):
        url = server.url.replace("//", "//me:pw@") + base + "?sig=a/b==&stream"
        conn = make_client(name, url)
        with pytest.raises(ConnectFailed, match="404"):
            await conn.connect()
        await conn.close()
        (request,) = server.requests
    end = {"websocket": "ws", "sse": "sse", "longpoll": "poll", "webrtc": "rtc/offer"}[name]
    assert request.target.startswith(f"{'/base' if 'base' in base else ''}/{end}?sig=a/b==&stream")
    assert request.headers["authorization"] == b"Basic bWU6cHc="


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_a_url_that_is_none_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConnectFailed, match=r"got 'htp://\*\*\*@h'"):
        make_client(name, "htp://me:s3cret@h")


async def test_a_transport_that_is_none() -> None:
    with pytest.raises(ValueError, match="carrier pigeon"):
        make_client("carrier pigeon", "http://h")
