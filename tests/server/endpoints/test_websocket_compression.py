"""permessage-deflate on a real server, over bare `websockets`."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from tests.server.conftest import Child
from tests.server.endpoints.test_websocket import closed, get, say

LIMIT = 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[Child]:
    """Wants small windows and no context of its own; from clients it takes what they offer."""
    wanted = "server_max_window_bits=9; server_no_context_takeover; memory_level=1"
    child = Child("--compression", wanted, "--max-message-bytes", str(LIMIT))
    yield child
    assert child.stop() == ""


def high_water(server: Child) -> int:
    """Bytes: the most memory that the server ever held."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


async def test_both_ends_keep_to_what_was_agreed_in_both_codecs(server: Child) -> None:
    text = "again and " * 1000
    offers = [
        None,
        [ClientPerMessageDeflateFactory(client_no_context_takeover=True, client_max_window_bits=9)],
        [ClientPerMessageDeflateFactory(server_no_context_takeover=True, server_max_window_bits=9)],
    ]
    for extensions in offers:
        async with websockets.connect(server.ws_url, extensions=extensions) as ws:
            found = str(ws.protocol.extensions[0])
            assert "remote_no_context_takeover=True" in found
            assert "remote_max_window_bits=9" in found
            await get(ws, "welcome")
            for n in range(3):
                await say(ws, "echo", [n, text])
                assert (await get(ws))["payload"] == [n, text]
    async with websockets.connect(server.ws_url, subprotocols=["rtlab.v1.msgpack"]) as ws:
        assert (await get(ws))["type"] == "welcome"


async def test_who_offers_nothing_gets_plain_frames(server: Child) -> None:
    async with server.connect() as ws:
        assert ws.protocol.extensions == []
        await get(ws, "welcome")
        await say(ws, "echo", "again and " * 50)
        assert (await get(ws))["payload"] == "again and " * 50


async def test_a_compression_bomb_ends_with_1009_and_costs_no_memory(server: Child) -> None:
    async with websockets.connect(server.ws_url) as ws:
        await get(ws, "welcome")
        await say(ws, "echo", "x" * (LIMIT - 100))  # what is allowed passes, however small it was
        await get(ws, "echo")
        before = await asyncio.to_thread(high_water, server)
        data = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = (data.compress(bytes(60_000_000)) + data.flush(zlib.Z_SYNC_FLUSH))[:-4]
        assert len(bomb) < LIMIT
        size = len(bomb).to_bytes(2, "big")
        ws.transport.write(b"\xc2\xfe" + size + bytes(4) + bomb)  # binary, RSV1, a mask of zeros
        assert (await closed(ws))[0] == 1009
    assert high_water(server) - before < 2_000_000
    async with server.connect() as ws:
        assert (await get(ws))["type"] == "welcome"
