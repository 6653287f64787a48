"""The nearest bare peer of each transport: the client that one would write without rtlab.

Bare clients connect to the lab's server, decode the same JSON, and do nothing else: no resume,
no limits, no order of sends, no reconnects. The cost of our transports is relative to theirs.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from httpx_sse import aconnect_sse

__all__ = ["BARE", "TakeTransits", "bare_longpoll", "bare_sse", "bare_webrtc"]

#: Requests a feed (rate, size, count); returns each message's transit time, sent to received, in seconds.
TakeTransits = Callable[[float, int, int], Awaitable[list[float]]]

TIMEOUT: Final = 30.0


def _request(rate: float, size: int, count: int) -> dict[str, Any]:
    return {"type": "feed", "payload": {"rate": rate, "size": size, "count": count}, "id": "feed"}


class _Transits:
    """Collects the transit times of one feed, in seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.done = asyncio.Event()

    def __call__(self, text: str | bytes) -> None:
        message = json.loads(text)
        if message["type"] == "feed":
            self.seconds.append(time.monotonic() - message["sent"])
            if message["payload"].get("last"):
                self.done.set()


@asynccontextmanager
async def bare_sse(url: str) -> AsyncGenerator[TakeTransits]:
    """An event stream read with httpx-sse, as its documentation shows."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=None) as http,
        aconnect_sse(http, "GET", f"{url}/sse") as source,
    ):
        events = source.aiter_sse()
        welcome = json.loads((await anext(events)).data)
        send = f"{url}/send?session={welcome['payload']['session']}"

        async def take(rate: float, size: int, count: int) -> list[float]:
            transits = _Transits()
            async with asyncio.timeout(TIMEOUT):
                asked = asyncio.ensure_future(http.post(send, json=_request(rate, size, count)))
                while not transits.done.is_set():
                    event = await anext(events)
                    if event.data:  # httpx-sse hands out heartbeats as empty events
                        transits(event.data)
                await asked
            return transits.seconds

        yield take


@asynccontextmanager
async def bare_longpoll(url: str) -> AsyncGenerator[TakeTransits]:
    """Long polling with a loop around httpx."""
    async with httpx.AsyncClient(trust_env=False, timeout=None) as http:
        answer = (await http.get(f"{url}/poll")).json()
        session, cursor = answer["messages"][0]["payload"]["session"], answer["cursor"]

        async def take(rate: float, size: int, count: int) -> list[float]:
            nonlocal cursor
            transits: list[float] = []
            last = False
            async with asyncio.timeout(TIMEOUT):
                body = _request(rate, size, count)
                asked = asyncio.ensure_future(http.post(f"{url}/send?session={session}", json=body))
                while not last:
                    response = await http.get(f"{url}/poll", params={"session": session, "cursor": cursor})
                    if response.status_code == 204:
                        continue
                    answer = response.json()
                    now = time.monotonic()
                    cursor = answer["cursor"]
                    for message in answer["messages"]:
                        if message["type"] == "feed":
                            transits.append(now - message["sent"])
                            last = last or bool(message["payload"].get("last"))
                await asked
            return transits

        yield take


@asynccontextmanager
async def bare_webrtc(url: str) -> AsyncGenerator[TakeTransits]:
    """A data channel of aiortc, on a peer connection that may use loopback."""
    from aiortc import RTCSessionDescription

    from rtlab.webrtc.loopback_ice import LoopbackPeerConnection

    peer = LoopbackPeerConnection()
    channel = peer.createDataChannel("bare", protocol="rtlab.v1.json")
    ready = asyncio.Event()
    transits = _Transits()

    def received(text: str) -> None:
        if ready.is_set():
            transits(text)
        else:
            ready.set()  # the welcome

    channel.on("message", received)
    try:
        await peer.setLocalDescription()
        async with httpx.AsyncClient(trust_env=False) as http:
            offer = {"sdp": peer.localDescription.sdp, "type": "offer"}
            answer = (await http.post(f"{url}/rtc/offer", json=offer)).raise_for_status().json()
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type=answer["type"]))
        async with asyncio.timeout(TIMEOUT):
            await ready.wait()

        async def take(rate: float, size: int, count: int) -> list[float]:
            nonlocal transits
            transits = _Transits()
            channel.send(json.dumps(_request(rate, size, count)))
            async with asyncio.timeout(TIMEOUT):
                await transits.done.wait()
            return transits.seconds

        yield take
    finally:
        await peer.close()


#: Transport → its bare client, and the name of that client in the table.
BARE: Final = {
    "sse": (bare_sse, "httpx-sse"),
    "longpoll": (bare_longpoll, "httpx loop"),
    "webrtc": (bare_webrtc, "aiortc"),
}
