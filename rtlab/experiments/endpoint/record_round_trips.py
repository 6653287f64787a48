"""Measures round trips to any WebSocket, event stream or long poll, as samples for the live plot."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import raw_frame
from rtlab.experiments.endpoint.endpoint_kind import EXAMPLE, EndpointKind, kind_at, not_real_time
from rtlab.experiments.endpoint.timed_connect_steps import TIMEOUT, Wire, dial
from rtlab.experiments.endpoint.watch_event_stream_for_probe import EventStream
from rtlab.measure.recorder import Recorder
from rtlab.processes.owned_tasks import until_stopped
from rtlab.protocol.http1_message_parser import Head
from rtlab.protocol.urls import Url, parse_url
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG

__all__ = ["follow"]

#: Largest number of concurrent requests, so that a server that holds requests open is not flooded.
_MAX_REQUESTS: Final = 8


async def follow(
    url: str,
    recorder: Recorder,
    *,
    kind: EndpointKind | None = None,
    series: str | None = None,
    seconds: float = 10.0,
    rate: float = 20.0,
    stopped: asyncio.Event | None = None,
    ssl: ssl_module.SSLContext | None = None,
    timeout: float = TIMEOUT,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Record round trips to any server as they complete; a `LatencyPlot` of the recorder shows them live.

    On a WebSocket a round trip is a ping frame and its pong. For an event stream or a long poll it is a
    request on a connection of its own, timed from the request to the head of the answer. Both are sent on
    a fixed schedule, even while answers are outstanding, so a stall shows in every sample that it delays.
    The server's heartbeats and the end of the connection are recorded as marks.

    Parameters
    ----------
    url : str
        ``ws``, ``wss``, ``http`` or ``https``, of a server that need not speak rtlab's protocol.
    recorder : Recorder
        Receives the round trips.
    kind : {"websocket", "sse", "longpoll"}, optional
        Kind of endpoint. None detects it.
    series : str, optional
        Name of the recorded series. None takes the kind's name.
    seconds, rate : float
        Duration of the run, and round trips per second. At most eight requests are outstanding at a time; a
        request that would be the ninth is skipped.
    stopped : asyncio.Event, optional
        Setting this event ends the run at once; pass ``plot.stopped``.
    ssl, timeout, headers
        As for `probe`.

    Returns
    -------
    int
        Round trips recorded; fewer than asked for if the server closes the connection or Stop is pressed.

    Raises
    ------
    ConnectFailed
        When there is nothing to follow; the message says what to try next.
    ValueError
        For a `rate` or `seconds` that is not positive.

    Examples
    --------
    ::

        recorder = Recorder()
        plot = LatencyPlot(recorder, title="my server")
        display(plot)
        async with plot:
            await follow("wss://example.org/live", recorder, seconds=10, stopped=plot.stopped)
    """
    for name, value in (("seconds", seconds), ("rate", rate)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"expected a positive number of {name}, got {value!r}")
    one = _Follower(url, recorder, series, max(1, round(seconds * rate)), 1 / rate, ssl, timeout, headers)
    await until_stopped(one.run(kind), stopped)
    return one.done


class _Follower:
    def __init__(
        self,
        url: str,
        recorder: Recorder,
        series: str | None,
        count: int,
        interval: float,
        ssl: ssl_module.SSLContext | None,
        timeout: float,
        headers: Mapping[str, str] | None,
    ) -> None:
        self.done = 0
        self._url, self._recorder, self._series = parse_url(url, EXAMPLE), recorder, series or ""
        self._count, self._interval = count, interval
        self._ssl, self._timeout, self._headers = ssl, timeout, headers
        self._ended = asyncio.Event()

    async def run(self, kind: EndpointKind | None) -> None:
        if kind != "websocket" and (kind is not None or self._url.scheme in ("http", "https")):
            async with await self._dial(self._url.over("http")) as wire:
                head = await wire.get()
                kind = kind_at(self._url, head, kind)
                if kind != "websocket":
                    self._begin(kind)
                    await self._requests(wire, head, kind)
                    return
        await self._pings()

    def _begin(self, kind: EndpointKind) -> None:
        self._series = self._series or kind
        self._recorder.add_series(self._series, round_trip=True)

    # WebSocket
    async def _pings(self) -> None:
        target = self._url.over("ws")
        async with await self._dial(target) as wire:
            head = await wire.upgrade()
            if head.status != 101:
                raise not_real_time(target, head, "websocket")
            self._begin("websocket")
            sent: dict[int, float] = {}

            async def ping(n: int) -> None:
                sent[n] = self._recorder.clock()
                await wire.send(raw_frame(PING, b"%d" % n))

            reading = asyncio.ensure_future(self._pongs(wire, sent))
            try:
                await self._on_schedule(ping)
                await asyncio.wait((reading,), timeout=self._timeout)
            finally:
                reading.cancel()
                await asyncio.wait((reading,))
            if not reading.cancelled():
                reading.result()
            if not self.done and not self._ended.is_set():
                raise ConnectFailed(
                    f"{target.address} answered no ping within {self._timeout:g} s: RFC 6455 §5.5.2 asks for "
                    "a pong; is it stalled?"
                )
            if not self._ended.is_set():
                await wire.leave()

    async def _pongs(self, wire: Wire, sent: dict[int, float]) -> None:
        answered = -1
        while answered < self._count - 1:
            frame = await wire.frame(math.inf)
            if frame is None or frame.opcode == CLOSE:
                self._end("without a close frame" if frame is None else f"close code {frame.code}")
                return
            if frame.opcode == PING:
                self._recorder.mark("heartbeat", self._series)
                await wire.send(raw_frame(PONG, frame.payload))
            elif frame.opcode == PONG and frame.payload.isdigit() and (n := int(frame.payload)) in sent:
                # A pong also answers all earlier pings that got no pong of their own (RFC 6455 §5.5.3).
                for one in range(answered + 1, n + 1):
                    self._note(sent.pop(one))
                answered = max(answered, n)

    # HTTP
    async def _requests(self, stream: Wire, head: Head, kind: EndpointKind) -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def start(n: int) -> None:
            if len(tasks) < _MAX_REQUESTS:
                task = asyncio.ensure_future(self._request())
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        watching = asyncio.ensure_future(self._heartbeats(stream, head, kind))
        try:
            await self._on_schedule(start)
            if tasks:
                await asyncio.wait(tasks, timeout=self._timeout)
        finally:
            left = {watching, *tasks}
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    async def _request(self) -> None:
        try:
            async with await self._dial(self._url.over("http")) as wire:
                sent = self._recorder.clock()
                await wire.get()
                self._note(sent)
        except ConnectFailed as error:
            self._end(str(error))

    async def _heartbeats(self, wire: Wire, head: Head, kind: EndpointKind) -> None:
        """Mark an event stream's comments and its end, while the requests continue."""
        if kind != "sse":
            return
        stream, seen = EventStream(wire, head), 0
        while not stream.end:
            await stream.next(math.inf)
            if stream.comments > seen:
                seen = stream.comments
                self._recorder.mark("heartbeat", self._series)
        self._recorder.mark("disconnected", f"{self._series}: {stream.end}")

    # Both
    async def _on_schedule(self, send: Callable[[int], Awaitable[None]]) -> None:
        """Call `send` on schedule until all are sent or the server has ended the connection."""
        clock = self._recorder.clock
        began = clock()
        for n in range(self._count):
            if (early := began + n * self._interval - clock()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(early):
                        await self._ended.wait()
            if self._ended.is_set():
                return
            await send(n)

    def _note(self, sent: float) -> None:
        self._recorder.record(self._series, ts=sent)
        self.done += 1

    def _end(self, why: str) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._recorder.mark("disconnected", f"{self._series}: {why}")

    async def _dial(self, url: Url) -> Wire:
        return await dial(url, ssl=self._ssl, timeout=self._timeout, headers=self._headers)
