"""What any WebSocket, event stream or long poll does: times, headers, heartbeat, idle cut, resumption."""

from __future__ import annotations

import json
import ssl as ssl_module
import time
import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from rtlab.client.transports.sse_decoder import SseDecoder
from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.frames import Frame, raw_frame, request_head
from rtlab.experiments.endpoint.report import Kind, Report, kind_of, not_real_time, wants_upgrade
from rtlab.experiments.endpoint.wire import TIMEOUT, Wire, dial
from rtlab.protocol.http1 import Body, Head
from rtlab.protocol.urls import Url, parse_url
from rtlab.protocol.websocket_frames import CLOSE, PING, PONG, TEXT

__all__ = ["probe"]

#: Told how far a probe is, from 0 to 1, and what it does.
Progress = Callable[[float, str], None]

#: Shares of a probe's progress at which its steps begin.
_ROUND_TRIPS: Final = 0.1
_WATCH: Final = 0.3
_RESUME: Final = 0.9


async def probe(
    url: str,
    *,
    kind: Kind | None = None,
    watch: float = 20.0,
    count: int = 50,
    ssl: ssl_module.SSLContext | None = None,
    timeout: float = TIMEOUT,
    progress: Progress = lambda share, text: None,
) -> Report:
    """Look at one endpoint, as a client without credentials.

    Parameters
    ----------
    url : str
        ``ws``, ``wss``, ``http`` or ``https``.
    kind : {"websocket", "sse", "longpoll"}, optional
        What it is; found out, if left out.
    watch : float
        Seconds to stay idle, for heartbeats and for the server's own time limit.
    count : int
        Round trips.
    ssl : ssl.SSLContext, optional
        Whom to trust; None is the system's authorities.
    timeout : float
        Seconds for each answer.
    progress : callable
        Told the share done and what comes next.

    Returns
    -------
    Report

    Raises
    ------
    ConnectFailed
        When there is nothing to probe; it says what to try next.

    Examples
    --------
    ::

        report = await probe("wss://example.org/live")
        print(report.p50_ms, report.heartbeat)
    """
    return await _Probe(parse_url(url), watch, count, ssl, timeout, progress).run(kind)


class _Probe:
    def __init__(
        self,
        url: Url,
        watch: float,
        count: int,
        ssl: ssl_module.SSLContext | None,
        timeout: float,
        progress: Progress,
    ) -> None:
        self._url, self._watch, self._count = url, watch, count
        self._ssl, self._timeout, self._progress = ssl, timeout, progress
        self._inflater = zlib.decompressobj(-15)

    async def run(self, kind: Kind | None) -> Report:
        self._progress(0.0, "connecting")
        if kind == "websocket" or (kind is None and self._url.scheme in ("ws", "wss")):
            return await self._websocket()
        async with await self._dial(self._url.over("http")) as wire:
            began = time.perf_counter()
            head = await self._get(wire)
            answered = time.perf_counter() - began
            found = kind_of(head)
            if found is None and kind is None and head.status in (400, 426) and wants_upgrade(head):
                return await self._websocket()
            if found is None or (kind is not None and found != kind):
                raise not_real_time(self._url, head, kind)
            report = self._report(wire, head, answered, found)
            if found == "sse":
                await self._watch_stream(wire, head, report)
            else:
                await self._watch_poll(wire, head, report)
        return report

    # WebSocket
    async def _websocket(self) -> Report:
        wire, head, answered = await self._upgraded(self._url.over("ws"))
        async with wire:
            report = self._report(wire, head, answered, "websocket")
            report.subprotocol = head.get(b"sec-websocket-protocol").decode("latin-1")
            report.extensions = head.get(b"sec-websocket-extensions").decode("latin-1")
            texts: list[bytes] = []
            await self._pings(wire, report, texts)
            await self._watch_socket(wire, report, texts)
        self._progress(_RESUME, "coming back")
        session = _session_of(texts)
        again = self._url.over("ws").adding(session=session, seq=0)
        wire, _, _ = await self._upgraded(again, None)
        async with wire:
            if session is not None:
                report.resumes = "no"
                frame = await _next_data(wire)
                if frame is not None and b'"resumed":true' in frame.payload.replace(b" ", b""):
                    report.resumes = "yes, by session and seq"
            await wire.send(raw_frame(3, b"nonsense"))
            report.nonsense = await _close_code(wire)
        return report

    def _text(self, frame: Frame) -> bytes:
        """Return a message's text; what cannot be inflated is empty (RFC 7692 §7.2.2)."""
        if not frame.rsv:
            return frame.payload
        try:
            return self._inflater.decompress(frame.payload + b"\0\0\xff\xff", 1 << 20)
        except zlib.error:
            return b""

    async def _upgraded(
        self, url: Url, extensions: str | None = "permessage-deflate"
    ) -> tuple[Wire, Head, float]:
        wire = await self._dial(url)
        try:
            began = time.perf_counter()
            head = await wire.upgrade(Sec_WebSocket_Extensions=extensions)
            if head.status != 101:
                raise not_real_time(url, head, "websocket")
        except BaseException:
            await wire.close()
            raise
        return wire, head, time.perf_counter() - began

    async def _pings(self, wire: Wire, report: Report, texts: list[bytes]) -> None:
        taken: list[float] = []
        for n in range(self._count):
            self._progress(_ROUND_TRIPS + (_WATCH - _ROUND_TRIPS) * n / self._count, "measuring round trips")
            payload = str(n).encode()
            began = time.perf_counter()
            await wire.send(raw_frame(PING, payload))
            try:
                while (frame := await wire.frame()) is not None:
                    if frame.opcode == PONG and frame.payload == payload:
                        break
                    if frame.opcode == TEXT:
                        texts.append(self._text(frame))
            except TimeoutError:
                break
            if frame is None:
                break
            taken.append(time.perf_counter() - began)
        _note(report, taken, "ping frames")

    async def _watch_socket(self, wire: Wire, report: Report, texts: list[bytes]) -> None:
        began, beats, messages = time.monotonic(), list[float](), 0
        report.idle = f"not cut within {self._watch:g} s"
        while (left := began + self._watch - time.monotonic()) > 0:
            self._progress(_progress_of(1 - left / self._watch), "watching it idle")
            try:
                frame = await wire.frame(min(left, 0.25))
            except TimeoutError:
                continue
            if frame is None or frame.opcode == CLOSE:
                how = "without a close frame" if frame is None else f"with close code {frame.code}"
                report.idle = f"cut after {time.monotonic() - began:.1f} s {how}"
                break
            if frame.opcode == PING:
                beats.append(time.monotonic())
                await wire.send(raw_frame(PONG, frame.payload))
            elif frame.opcode == TEXT:
                messages += 1
                texts.append(self._text(frame))
        report.heartbeat = _beats(beats, "ping frames", messages)

    # HTTP
    async def _watch_stream(self, wire: Wire, head: Head, report: Report) -> None:
        began, beats, decoder, events = time.monotonic(), list[float](), SseDecoder(), 0
        last_id, body = "", Body(head)
        report.idle = f"not cut within {self._watch:g} s"
        while (left := began + self._watch - time.monotonic()) > 0 and not body.done:
            self._progress(_progress_of(1 - left / self._watch), "watching it idle")
            try:
                data = await wire.more(min(left, 0.25))
            except TimeoutError:
                continue
            if not data:
                report.idle = f"cut after {time.monotonic() - began:.1f} s"
                break
            content, _ = body.feed(data)
            beats += [time.monotonic() for line in content.splitlines() if line.startswith(b":")]
            for event in decoder.feed(content):
                events += 1
                last_id = event.id or last_id
        report.heartbeat = _beats(beats, "comments", events)
        self._progress(_RESUME, "coming back")
        await self._requests(report)
        if last_id:
            first = await self._first_event(last_id)
            resumed = '"resumed":true' in first.replace(" ", "")
            report.resumes = "yes, by Last-Event-ID" if resumed else "unknown: its events have ids"
        answer = await self._ask(Last_Event_ID="nonsense")
        report.nonsense = f"HTTP {answer.status} to a Last-Event-ID that makes no sense"

    async def _watch_poll(self, wire: Wire, head: Head, report: Report) -> None:
        cursor = _cursor_of(await wire.body(head))
        await self._requests(report)
        if cursor:
            self._progress(_WATCH, "waiting for a poll's own time limit")
            report.resumes = "yes, by cursor"
            url = self._url.over("http").adding(cursor=cursor)
            async with await self._dial(url) as again:
                began = time.monotonic()
                await again.send(request_head(url, {"Accept": "application/json"}))
                try:
                    held = await again.head(self._watch)
                    report.idle = f"answered HTTP {held.status} after {time.monotonic() - began:.1f} s"
                except ConnectFailed:
                    report.idle = f"held for {self._watch:g} s"
        else:
            report.idle = "answers at once: no cursor to wait with"
        report.heartbeat = "none: a poll has no open connection between answers"
        self._progress(_RESUME, "sending nonsense")
        answer = await self._ask(self._url.over("http").adding(cursor="nonsense"))
        report.nonsense = f"HTTP {answer.status} to a cursor that makes no sense"

    async def _requests(self, report: Report) -> None:
        """Measure whole requests, each on a connection of its own."""
        taken: list[float] = []
        for _ in range(min(self._count, 10)):
            async with await self._dial(self._url.over("http")) as wire:
                began = time.perf_counter()
                await self._get(wire)
                taken.append(time.perf_counter() - began)
        _note(report, taken, "requests")

    async def _ask(self, url: Url | None = None, **fields: str) -> Head:
        """Make one request; return the answer's head."""
        async with await self._dial(url or self._url.over("http")) as wire:
            return await self._get(wire, **fields)

    async def _first_event(self, last_id: str) -> str:
        """Come back with an id; return the data of the first event, empty when none comes."""
        async with await self._dial(self._url.over("http")) as wire:
            body, decoder = Body(await self._get(wire, Last_Event_ID=last_id)), SseDecoder()
            try:
                while data := await wire.more(self._timeout):
                    content, _ = body.feed(data)
                    for event in decoder.feed(content):
                        return event.data
            except TimeoutError:
                pass
        return ""

    async def _get(self, wire: Wire, **fields: str) -> Head:
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        await wire.send(request_head(wire.url, {"Accept": "text/event-stream, application/json", **given}))
        return await wire.head()

    async def _dial(self, url: Url) -> Wire:
        return await dial(url, ssl=self._ssl, timeout=self._timeout)

    def _report(self, wire: Wire, head: Head, answered: float, kind: Kind) -> Report:
        steps, tls = wire.steps, wire.tls
        cipher = tls.cipher() if tls is not None else None
        return Report(
            url=self._url.address,
            kind=kind,
            address=wire.address,
            dns_ms=steps.dns * 1000,
            tcp_ms=steps.tcp * 1000,
            tls_ms=None if steps.tls is None else steps.tls * 1000,
            answer_ms=answered * 1000,
            tls=f"{tls.version()} {cipher[0]}" if tls is not None and cipher is not None else "",
            status=head.status,
            headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.fields},
        )


def _note(report: Report, seconds: list[float], what: str) -> None:
    report.round_trips, report.round_trip_of = len(seconds), what
    if seconds:
        report.p50_ms, report.p99_ms = (float(q) * 1000 for q in np.percentile(seconds, (50, 99)))


def _progress_of(share: float) -> float:
    return _WATCH + (_RESUME - _WATCH) * share


def _beats(times: list[float], what: str, messages: int) -> str:
    others = f"; {messages} messages" if messages else ""
    if not times:
        return f"none seen{others}"
    gaps = np.diff(times)
    every = f", every {np.median(gaps):.1f} s" if len(gaps) else ""
    return f"{len(times)} {what}{every}{others}"


def _session_of(texts: list[bytes]) -> str | None:
    """Return the session that a server of rtlab's wire named in its welcome."""
    for text in texts[:1]:
        try:
            session: Any = json.loads(text)["payload"]["session"]
        except (ValueError, LookupError, TypeError):
            return None
        return session if isinstance(session, str) else None
    return None


def _cursor_of(body: bytes) -> str:
    try:
        cursor: Any = json.loads(body)["cursor"]
    except (ValueError, LookupError, TypeError):
        return ""
    return cursor if isinstance(cursor, str) else ""


async def _next_data(wire: Wire) -> Frame | None:
    try:
        while (frame := await wire.frame(2.0)) is not None and frame.opcode != TEXT:
            continue
    except TimeoutError:
        return None
    return frame


async def _close_code(wire: Wire) -> str:
    what = "a frame of reserved opcode 3"
    try:
        while (frame := await wire.frame()) is not None:
            if frame.opcode == CLOSE:
                return f"close code {frame.code} to {what}"
    except TimeoutError:
        return f"nothing to {what}: RFC 6455 §5.2 asks to fail the connection"
    return f"an end without a close frame to {what}"
