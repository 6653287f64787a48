"""What ended an answer is said in plain words, the same on every platform."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import httpx
import pytest

from rtlab.client.transports._http_client import HttpClient, loss
from rtlab.protocol.urls import parse_url

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("reset", "the connection was reset"),
        ("fin", "the connection ended in the middle of an answer"),
        ("silence", "nothing came for 1.0 s"),
    ],
)
async def test_how_an_answer_was_cut_off_is_told(end: str, words: str) -> None:
    heard, gone = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        await heard.wait()
        if end == "silence":
            await reader.read()  # until the client leaves
        if end == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    async def read(response: httpx.Response) -> None:
        async for _ in response.aiter_bytes():
            heard.set()

    http = HttpClient()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, asyncio.timeout(10):
        url = parse_url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        response, _ = await http.start("GET", url, {}, read_timeout=1.0 if end == "silence" else 10)
        with pytest.raises(httpx.TransportError) as caught:
            await read(response)
        assert loss(caught.value) == words
        await http.close()
        await gone.wait()
