"""Examines any WebSocket, event stream or long poll: times, headers, heartbeat, idle timeout, resumption."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl as ssl_module
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

import numpy as np

from rtlab.errors import ConnectFailed, MessageError
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import raw_frame
from rtlab.experiments.endpoint.endpoint_kind import EXAMPLE, EndpointKind, kind_at, not_real_time
from rtlab.experiments.endpoint.probe_report import Report
from rtlab.experiments.endpoint.timed_connect_steps import TIMEOUT, Wire, dial
from rtlab.experiments.endpoint.watch_event_stream_for_probe import EventStream
from rtlab.experiments.endpoint.watch_websocket_for_probe import WatchedSocket
from rtlab.protocol.http1_message_parser import Head
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.resume_fields import Resume, session_of, session_query
from rtlab.protocol.urls import Url, parse_url

__all__ = ["probe"]

#: Called with the share of a probe that is done, from 0 to 1, and a text that says what comes next.
ReportProgress = Callable[[float, str], None]

#: Shares of the progress at which the steps of a probe begin.
_ROUND_TRIPS: Final = 0.1
_WATCH: Final = 0.3
_RESUME: Final = 0.9


async def probe(
    url: str,
    *,
    kind: EndpointKind | None = None,
    watch: float = 20.0,
    count: int = 50,
    ssl: ssl_module.SSLContext | None = None,
    timeout: float = TIMEOUT,
    headers: Mapping[str, str] | None = None,
    progress: ReportProgress = lambda share, text: None,
) -> Report:
    """Examine one endpoint, without credentials unless `headers` contains some.

    Parameters
    ----------
    url : str
        ``ws``, ``wss``, ``http`` or ``https``.
    kind : {"websocket", "sse", "longpoll"}, optional
        Kind of endpoint. None detects it.
    watch : float
        Seconds to stay idle, in order to see the server's heartbeats and its idle timeout.
    count : int
        Number of round trips to measure; for event streams and long polls at most 10.
    ssl : ssl.SSLContext, optional
        TLS context with the trusted authorities. None trusts the system's.
    timeout : float
        Timeout in seconds for each answer.
    headers : mapping, optional
        Header fields of every request, such as credentials, ``Sec-WebSocket-Protocol`` or ``Origin``.
    progress : callable
        Called with the share done, from 0 to 1, and a text that says what comes next.

    Returns
    -------
    Report

    Raises
    ------
    ConnectFailed
        When there is nothing to probe; the message says what to try next.

    Examples
    --------
    ::

        report = await probe("wss://example.org/live")
        print(report.p50_ms, report.heartbeat)
    """
    return await _Probe(parse_url(url, EXAMPLE), watch, count, ssl, timeout, headers or {}, progress).run(
        kind
    )


class _Probe:
    def __init__(
        self,
        url: Url,
        watch: float,
        count: int,
        ssl: ssl_module.SSLContext | None,
        timeout: float,
        headers: Mapping[str, str],
        progress: ReportProgress,
    ) -> None:
        self._url, self._watch, self._count = url, watch, count
        self._ssl, self._timeout, self._headers, self._progress = ssl, timeout, headers, progress

    async def run(self, kind: EndpointKind | None) -> Report:
        self._progress(0.0, "connecting")
        if kind == "websocket" or (kind is None and self._url.scheme in ("ws", "wss")):
            return await self._websocket()
        async with await self._dial(self._url.over("http")) as wire:
            began = time.perf_counter()
            head = await wire.get()
            answered = time.perf_counter() - began
            found = kind_at(self._url, head, kind)
            if found == "websocket":
                return await self._websocket()
            report = self._report(wire, head, answered, found)
            watch = self._watch_stream if found == "sse" else self._watch_poll
            with _kept(report):
                await watch(wire, head, report)
        return report

    # WebSocket
    async def _websocket(self) -> Report:
        wire, head, answered = await self._upgraded(self._url.over("ws"))
        async with wire:
            report = self._report(wire, head, answered, "websocket")
            protocol, extensions = "sec-websocket-protocol", "sec-websocket-extensions"
            sent = {name.lower(): text for name, text in self._headers.items()}
            report.subprotocol = _agreed(head, protocol, sent.get(protocol, ""))
            report.extensions = _agreed(head, extensions, f"{sent.get(extensions, '')}, permessage-deflate")
            watched = WatchedSocket(wire)
            await self._pings(watched, report)
            await self._watch_socket(watched, report)
            resume = _resume_of(watched.first_text)
            if resume.session is None and not watched.end:
                await wire.leave()  # not with a session: closing would end it before the resume
        self._progress(_RESUME, "coming back")
        with _kept(report):
            again = self._url.over("ws").adding(**resume.query())
            wire, _, _ = await self._upgraded(again, None)
            async with wire:
                watched = WatchedSocket(wire)
                if resume.session is not None:
                    report.resumes = "no"
                    await watched.until_text(self._timeout)
                    if b'"resumed":true' in watched.first_text.replace(b" ", b""):
                        report.resumes = "yes, by session and seq"
                await wire.send(raw_frame(3, b"nonsense"))
                report.nonsense = await self._answer_to_nonsense(watched)
        return report

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

    async def _pings(self, watched: WatchedSocket, report: Report) -> None:
        taken: list[float] = []
        for n in range(self._count):
            self._progress(_ROUND_TRIPS + (_WATCH - _ROUND_TRIPS) * n / self._count, "measuring round trips")
            seconds = await watched.round_trip(str(n).encode(), self._timeout)
            if seconds is None:
                break
            taken.append(seconds)
        _note(report, taken, "ping frames")

    async def _watch_socket(self, watched: WatchedSocket, report: Report) -> None:
        began = time.monotonic()
        while (left := began + self._watch - time.monotonic()) > 0 and not watched.end:
            self._progress(_progress_of(1 - left / self._watch), "watching it idle")
            with contextlib.suppress(TimeoutError):
                await watched.next(min(left, 0.25))
        report.idle = f"not cut within {self._watch:g} s"
        if watched.end:
            report.idle = f"cut after {watched.ended_after:.1f} s {watched.end}"
        report.heartbeat = _beats(watched.pings, "ping frames", watched.messages)

    async def _answer_to_nonsense(self, watched: WatchedSocket) -> str:
        what = "a frame of reserved opcode 3"
        try:
            async with asyncio.timeout(self._timeout):
                while not watched.end:
                    await watched.next(self._timeout)
        except TimeoutError:
            return f"nothing to {what}: RFC 6455 §5.2 asks to fail the connection"
        if watched.code is not None:
            return f"close code {watched.code} to {what}"
        return f"an end without a close frame to {what}"

    # HTTP
    async def _watch_stream(self, wire: Wire, head: Head, report: Report) -> None:
        began, beats, events, last_id = time.monotonic(), list[float](), 0, ""
        stream = EventStream(wire, head)
        report.idle = f"not cut within {self._watch:g} s"
        while (left := began + self._watch - time.monotonic()) > 0 and not stream.end:
            self._progress(_progress_of(1 - left / self._watch), "watching it idle")
            before = stream.comments
            try:
                for event in await stream.next(min(left, 0.25)):
                    events += 1
                    last_id = event.id or last_id
            except TimeoutError:
                continue
            beats += [time.monotonic()] * (stream.comments - before)
        if stream.end:
            report.idle = f"cut after {time.monotonic() - began:.1f} s: {stream.end}"
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
                try:
                    async with asyncio.timeout(self._watch):
                        held = await again.get(self._watch + self._timeout)
                    report.idle = f"answered HTTP {held.status} after {time.monotonic() - began:.1f} s"
                except TimeoutError:
                    report.idle = f"held for {self._watch:g} s"
                except ConnectFailed as error:
                    report.idle = f"cut after {time.monotonic() - began:.1f} s: {error}"
        else:
            report.idle = "answers at once: no cursor to wait with"
        report.heartbeat = "none: a poll has no open connection between answers"
        self._progress(_RESUME, "sending nonsense")
        answer = await self._ask(self._url.over("http").adding(cursor="nonsense"))
        report.nonsense = f"HTTP {answer.status} to a cursor that makes no sense"

    async def _requests(self, report: Report) -> None:
        """Measure requests, each on a connection of its own, from the request to the answer's head."""
        taken: list[float] = []
        for _ in range(min(self._count, 10)):
            async with await self._dial(self._url.over("http")) as wire:
                began = time.perf_counter()
                await wire.get()
                taken.append(time.perf_counter() - began)
        _note(report, taken, "requests")

    async def _ask(self, url: Url | None = None, **fields: str) -> Head:
        """Send one request on a new connection; return the head of the answer."""
        async with await self._dial(url or self._url.over("http")) as wire:
            return await wire.get(None, **fields)

    async def _first_event(self, last_id: str) -> str:
        """Reconnect with a ``Last-Event-ID``; return the first event's data, empty if none arrives."""
        async with await self._dial(self._url.over("http")) as wire:
            stream = EventStream(wire, await wire.get(Last_Event_ID=last_id))
            with contextlib.suppress(TimeoutError):
                while not stream.end:
                    for event in await stream.next(self._timeout):
                        return event.data
        return ""

    async def _dial(self, url: Url) -> Wire:
        return await dial(url, ssl=self._ssl, timeout=self._timeout, headers=self._headers)

    def _report(self, wire: Wire, head: Head, answered: float, kind: EndpointKind) -> Report:
        steps, tls = wire.steps, wire.tls
        cipher = tls.cipher() if tls is not None else None
        return Report(
            url=self._url.address,
            kind=kind,
            address=wire.address,
            dns_ms=None if steps.dns is None else steps.dns * 1000,
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
    others = f"; {messages} message{'s' * (messages > 1)}" if messages else ""
    if not times:
        return f"none seen{others}"
    gaps = np.diff(times)
    every = f", every {np.median(gaps):.1f} s" if len(gaps) else ""
    return f"{len(times)} {what}{every}{others}"


def _agreed(head: Head, field: str, offered: str) -> str:
    """Return what the server chose, and flag what was never offered: a client must fail (RFC 6455 §4.1)."""
    chosen = head.get(field.encode()).decode("latin-1")
    strange = sorted(_names(chosen) - _names(offered))
    if not strange:
        return chosen
    return f"{chosen} ({', '.join(strange)}: never offered, so clients must fail, RFC 6455 §4.1)"


def _names(field: str) -> set[str]:
    return {name for item in field.split(",") if (name := item.partition(";")[0].strip())}


def _resume_of(text: bytes) -> Resume:
    """Return how to resume the session of a server that speaks rtlab's protocol; nothing for any other."""
    try:
        welcome = JSON.decode(text)
    except MessageError:
        return Resume()
    query = session_query(welcome) if session_of(welcome) is not None else {}
    return Resume(query.get("clientId"), query.get("session"))


@contextlib.contextmanager
def _kept(report: Report) -> Generator[None]:
    """Keep the report as far as it got if the server refuses a later step."""
    try:
        yield
    except ConnectFailed as error:
        report.incomplete = str(error)


def _cursor_of(body: bytes) -> str:
    try:
        cursor: Any = json.loads(body)["cursor"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return cursor if isinstance(cursor, str) else ""
