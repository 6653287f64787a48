"""A browser's own transports compared with the Python client, on the same stream and with the same faults."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rtlab.capture.tcp_tap import Tap
from rtlab.client.connection import Connection
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.resources import data_path
from rtlab.widgets.page_transport_button import BrowserPage, PageError, RecordedPage

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["RECORDED", "ROWS", "browser_transports", "recorded_page"]

#: The recorded run in ``data/``.
RECORDED: Final = "browser_transports.json"

#: Streams to open; events in each part; echoes; chunks of 16,000 characters sent without waiting.
_STREAMS: Final = 8
_PART: Final = 10
_ECHOES: Final = 40
_CHUNKS: Final = 60
_CHUNK: Final = "x" * 16_000
_PATIENCE: Final = 20.0

#: Key of a result → text of its table row.
ROWS: Final[dict[str, str]] = {
    "streams": f"EventSource, HTTP/1.1: streams open, of {_STREAMS} to one host",
    "passed": "… a small request meanwhile: answers, of 1",
    "unnamed": f"… of {_PART} events named price, to onmessage",
    "named": f"… of {_PART} events named price, to a listener for price",
    "away": "… after a cut, seconds until the stream is open again",
    "id_sent": "… requests after the cut that bring Last-Event-ID, of 1",
    "resumed": f"… of {_PART} events sent while it was away",
    "after_503": "… requests after a 503, of its own accord",
    "new_id_sent": "… a new object's requests that bring Last-Event-ID, of 1",
    "new_got": f"… of {_PART} events sent while there was none, to the new object",
    "ws_ms": "WebSocket: round trip, median of 40, ms",
    "ws_buffered": "… bufferedAmount when 60 × 16 kB were sent at once, bytes",
    "rtc_open_ms": "RTCPeerConnection: until the channel's first message, ms",
    "rtc_ms": "… round trip, median of 40, ms",
    "rtc_buffered": "… bufferedAmount when 60 × 16 kB were sent at once, bytes",
    "poll_ms": "fetch: a poll that is answered at once, median of 10, ms",
}


def recorded_page() -> RecordedPage:
    """Return the run that was recorded in Chromium with the panel of `browser_transports`."""
    found = json.loads(data_path(RECORDED).read_text(encoding="utf-8"))
    about = found["about"]
    major = str(about["versions"].get("chromium", "")).partition(".")[0]
    return RecordedPage(f"Chromium {major}, recorded {about['date']}", found["page"], found["python"])


def browser_transports(lab: Lab) -> BrowserPage:
    """Make a panel whose button runs the comparison, in the page and in Python.

    Parameters
    ----------
    lab : Lab
        A lab with a fault proxy, which cuts the stream and answers requests with 503.

    Returns
    -------
    BrowserPage
        `BrowserPage.page` and `BrowserPage.python` hold the results, by the keys of `ROWS`.

    Raises
    ------
    LabError
        When the lab has no fault proxy.

    Examples
    --------
    In a notebook::

        panel = browser_transports(lab)
        panel
    """
    lab.faults  # noqa: B018 - raises here rather than at the click
    return BrowserPage(lab, _run, ROWS, recorded_page())


async def _run(page: BrowserPage) -> None:
    await _streams(page)
    await _one_stream(page)
    await _polls(page)
    await _socket(page)
    try:
        await _channel(page)
    except PageError as error:
        page.say(f"WebRTC does not work in this page: {error}", "bad")


async def _streams(page: BrowserPage) -> None:
    lab = page.lab
    told = await page.ask("streams", url=lab.url, wsUrl=lab.ws_url, wanted=_STREAMS, echoes=_ECHOES)
    await page.ask("end")
    page.found("page", streams=told["opened"], passed=told["answered"])
    async with AsyncExitStack() as stack:
        for _ in range(_STREAMS):
            await stack.enter_async_context(ServerSentEvents(lab.url))
        await stack.enter_async_context(LongPolling(lab.url))  # its first poll is the small request
        page.found("python", streams=_STREAMS, passed=1)


class _Follower:
    """The Python client on the stream that the page follows, under a browser's rules (`strict`)."""

    def __init__(self, url: str) -> None:
        self.unnamed = 0
        self.named: list[int] = []
        self.away = 0.0
        self.changed = asyncio.Event()
        self.given_up = False
        self._url = url
        self._lost = 0.0
        self._ready = asyncio.Event()
        self.source = self._make()

    def _make(self) -> ServerSentEvents:
        source = ServerSentEvents(self._url, plain=True, strict=True)
        source.on("message", self._hear_unnamed)
        source.add_event_listener("price", self._hear)
        source.add_event_listener("welcome", lambda _event: self._ready.set())
        source.on("disconnected", self._note_loss)
        source.on("connected", self._note_return)
        source.on("error", self._end)
        return source

    async def connect(self) -> None:
        """Open a new stream, and close the old one; return when the server's welcome has arrived."""
        await self.source.close()
        self.source, self.unnamed, self.named = self._make(), 0, []
        self._ready.clear()
        await self.source.connect()
        await asyncio.wait_for(self._ready.wait(), _PATIENCE)

    async def until(self, last: int) -> None:
        """Return when the event with this number has arrived."""
        async with asyncio.timeout(_PATIENCE):
            while last not in self.named:
                self.changed.clear()
                await self.changed.wait()

    async def until_given_up(self) -> None:
        """Return when the client has given up reconnecting."""
        async with asyncio.timeout(_PATIENCE):
            while not self.given_up:
                self.changed.clear()
                await self.changed.wait()

    def _hear_unnamed(self, _event: Any) -> None:
        self.unnamed += 1

    def _hear(self, event: Any) -> None:
        self.named.append(json.loads(event.payload)["payload"])
        self.changed.set()

    def _note_loss(self, _event: Any) -> None:
        self._lost = time.monotonic()

    def _note_return(self, _event: Any) -> None:
        if self._lost:
            self.away = time.monotonic() - self._lost

    def _end(self, _event: Any) -> None:
        self.given_up = True
        self.changed.set()


async def _one_stream(page: BrowserPage) -> None:
    """Let page and Python follow one room: named events, a cut, a 503, and a new object afterwards."""
    lab, room = page.lab, f"page-{time.monotonic_ns()}"

    async def publish(part: int) -> None:
        for number in range(part * _PART, (part + 1) * _PART):
            await publisher.request("price", number, room_id=room)

    async with Tap(lab.faults.url) as tap, WebSocketConnection(lab.ws_url) as publisher:
        url = f"{tap.url}/sse?room={room}"
        python = _Follower(url)
        await publisher.join_room(room)
        try:
            await page.ask("follow", url=url, name="price")
            await python.connect()
            await publish(0)
            told = await page.ask("followed", last=_PART - 1)
            await python.until(_PART - 1)
            page.found("page", unnamed=told["unnamed"], named=len(told["named"]))
            page.found("python", unnamed=python.unnamed, named=len(python.named))

            before = _requests(tap)
            await lab.faults.cut()
            await publish(1)
            told = await page.ask("followed", last=2 * _PART - 1)
            await python.until(2 * _PART - 1)
            after = _requests(tap)
            for who, numbers, away in (
                ("page", told["named"], told["away"]),
                ("python", python.named, python.away),
            ):
                page.found(
                    who,  # pyright: ignore[reportArgumentType]
                    away=away,
                    id_sent=_with_id(after[who][len(before[who]) :]),
                    resumed=_in_part(numbers, 1),
                )

            async with lab.faults.http_status(503, times=2, path="/sse"):
                await lab.faults.cut()
                await page.ask("given_up")
                await python.until_given_up()
            refused = _requests(tap)
            await publish(2)
            more = _requests(tap)
            await page.ask("follow", url=url, name="price")
            await python.connect()
            new = _requests(tap)
            await publisher.request("price", 3 * _PART, room_id=room)
            told = await page.ask("followed", last=3 * _PART)
            await python.until(3 * _PART)
            for who, numbers in (("page", told["named"]), ("python", python.named)):
                page.found(
                    who,  # pyright: ignore[reportArgumentType]
                    after_503=len(more[who]) - len(refused[who]),
                    new_id_sent=_with_id(new[who][len(more[who]) :]),
                    new_got=_in_part(numbers, 2),
                )
        finally:
            await python.source.close()
    await page.ask("end")


def _requests(tap: Tap) -> dict[str, list[bytes]]:
    """Return the heads of all stream requests: the page's, which have an ``Origin``, and Python's."""
    heads = [head for one in tap.connections for head in bytes(one.up).split(b"\r\n\r\n")]
    streams = [head.lower() for head in heads if head.startswith(b"GET /sse")]
    return {
        "page": [head for head in streams if b"\norigin:" in head],
        "python": [head for head in streams if b"\norigin:" not in head],
    }


def _with_id(heads: list[bytes]) -> int:
    return sum(b"\nlast-event-id:" in head for head in heads)


def _in_part(numbers: list[int], part: int) -> int:
    return len({number for number in numbers if number // _PART == part})


async def _polls(page: BrowserPage) -> None:
    told = await page.ask("poll", url=page.lab.url, count=10)
    page.found("page", poll_ms=told["ms"])
    times: list[float] = []
    for _ in range(10):
        began = time.perf_counter()
        async with LongPolling(page.lab.url):
            times.append(1000 * (time.perf_counter() - began))
    page.found("python", poll_ms=float(np.median(times)))


async def _socket(page: BrowserPage) -> None:
    lab = page.lab
    told = await page.ask("socket", wsUrl=lab.ws_url, echoes=_ECHOES, chunks=_CHUNKS)
    page.found("page", ws_ms=told["ms"], ws_buffered=told["buffered"])
    async with WebSocketConnection(lab.ws_url) as conn:
        ms, buffered = await _round_trips(conn), await _flood(conn)
        page.found("python", ws_ms=ms, ws_buffered=buffered)


async def _channel(page: BrowserPage) -> None:
    lab = page.lab
    async with WebRTCChannel(lab.url):
        pass  # first imports, here and in the server, must not count
    began = time.perf_counter()
    async with WebRTCChannel(lab.url) as conn:
        opened = 1000 * (time.perf_counter() - began)
        ms, buffered = await _round_trips(conn), await _flood(conn)
        page.found("python", rtc_open_ms=opened, rtc_ms=ms, rtc_buffered=buffered)
    told = await page.ask("channel", url=lab.url, echoes=_ECHOES, chunks=_CHUNKS)
    page.found("page", rtc_open_ms=told["opened"], rtc_ms=told["ms"], rtc_buffered=told["buffered"])


async def _round_trips(conn: Connection) -> float:
    times: list[float] = []
    for number in range(_ECHOES):
        began = time.perf_counter()
        await conn.request("echo", number)
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))


async def _flood(conn: Connection) -> int:
    """Send without waiting for answers; return the bytes still buffered when the last `send` returned."""
    came = asyncio.Event()
    left = _CHUNKS

    def count(_message: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            came.set()

    conn.on("echo", count)
    for _ in range(_CHUNKS):
        await conn.send("echo", _CHUNK)
    buffered = conn.buffered_amount
    await asyncio.wait_for(came.wait(), _PATIENCE)
    return buffered
