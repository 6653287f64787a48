"""Which rules for event streams a client keeps: the same cases run on rtlab's client and on httpx-sse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final, Protocol

import httpx
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from httpx_sse import EventSource, SSEError, aconnect_sse

from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.transports.sse_decoder import SseDecoder
from rtlab.errors import ConnectFailed, ConnectionLost
from rtlab.experiments.sse_conformance.connection_cases import (
    CONNECTION_CASES,
    CONNECTION_RULES,
    ConnectionCase,
)
from rtlab.experiments.sse_conformance.parsing_cases import PARSING_CASES, PARSING_RULES, ParsingCase
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer

__all__ = ["RuleFollower", "sse_scoreboard"]

#: Seconds after which a client fails a case if it has not finished.
PATIENCE: Final = 2.0

ParsedEvent = tuple[str, str, str]


class RuleFollower(Protocol):
    """The interface through which the cases use a client; a notebook can supply its own."""

    async def parse(self, case: ParsingCase, chunks: list[bytes]) -> tuple[list[ParsedEvent], float | None]:
        """Parse a stream; return the events delivered before its end, and the reconnection time."""
        ...

    async def follow(self, url: str, headers: dict[str, str], got: list[str]) -> None:
        """Connect, and append the data of each event to `got` until the client stops by itself."""
        ...


class _Ours:
    async def parse(self, case: ParsingCase, chunks: list[bytes]) -> tuple[list[ParsedEvent], float | None]:
        decoder = SseDecoder()
        events = [event for chunk in chunks for event in decoder.feed(chunk)]
        return [(event.type, event.data, event.id) for event in events], decoder.retry

    async def follow(self, url: str, headers: dict[str, str], got: list[str]) -> None:
        stream = ServerSentEvents(url, plain=True, strict=True, headers=headers)
        stream.on("error", lambda event: None)  # expected in some cases: do not log it
        messages = aiter(stream)
        with contextlib.suppress(ConnectFailed, ConnectionLost):
            async with stream:
                async for message in messages:
                    got += [message.payload]


class _HttpxSse:
    async def parse(self, case: ParsingCase, chunks: list[bytes]) -> tuple[list[ParsedEvent], float | None]:
        drained = asyncio.Event()
        events: list[ParsedEvent] = []
        retry: float | None = None

        class Body(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for chunk in chunks:
                    yield chunk
                drained.set()
                await asyncio.get_running_loop().create_future()  # never done: keeps the body open

        async def read() -> None:
            nonlocal retry
            answer = httpx.Response(200, headers={"Content-Type": case.content_type}, stream=Body())
            async for event in EventSource(answer).aiter_sse():
                events.append((event.event, event.data, event.id))
                retry = retry if event.retry is None else event.retry / 1000

        reader = asyncio.get_running_loop().create_task(read())
        waiter = asyncio.get_running_loop().create_task(drained.wait())
        try:
            await asyncio.wait({reader, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also if the notebook's kernel is interrupted
            for task in (reader, waiter):
                task.cancel()
            await asyncio.wait({reader, waiter})
        return events, retry

    async def follow(self, url: str, headers: dict[str, str], got: list[str]) -> None:
        with contextlib.suppress(SSEError, httpx.HTTPError):
            async with (
                httpx.AsyncClient(trust_env=False, verify=False) as client,  # test servers have no TLS
                aconnect_sse(client, "GET", url, headers=headers) as source,
            ):
                async for event in source.aiter_sse():
                    got += [event.data]


_CLIENTS: Final[dict[str, RuleFollower]] = {"rtlab": _Ours(), "httpx-sse": _HttpxSse()}


def _cuts(stream: bytes) -> Iterable[list[bytes]]:
    """Yield a stream as chunks: whole, split in two at every position, and as single bytes."""
    yield [stream]
    for at in range(1, len(stream)):
        yield [stream[:at], stream[at:]]
    yield [stream[at : at + 1] for at in range(len(stream))]


async def _parses(client: RuleFollower, case: ParsingCase) -> bool:
    expected = (list(case.events), case.retry)
    for chunks in _cuts(case.stream):
        if await client.parse(case, chunks) != expected:
            return False
    return True


async def _connects(client: RuleFollower, case: ConnectionCase) -> bool:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(case.answers[min(len(server.requests), len(case.answers)) - 1])

    given = {"X-Mine": "1"}
    headers, got = dict(given), list[str]()
    async with ScriptedServer(script) as server:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await client.follow(server.url + "/stream", headers, got)
        if not server.requests:
            return False
        last = server.requests[-1].headers
        return (
            tuple(got) == case.data
            and (case.at_most is None or len(server.requests) <= case.at_most)
            and all(last.get(name) == value for name, value in case.sent.items())
            and (headers == given or not case.keeps_headers)
        )


async def sse_scoreboard(
    *, clients: Mapping[str, RuleFollower] | None = None, details: bool = False
) -> pd.DataFrame:
    """Run every case on each client.

    A client keeps a parsing case if it delivers the right events before the end of the stream, whether it
    gets the bytes as one chunk, split in two at any position, or one by one. Connection cases run against
    a server on a port of 127.0.0.1.

    Parameters
    ----------
    clients : mapping of str to RuleFollower, optional
        Clients to test, by name. None: rtlab's own client and httpx-sse.
    details : bool
        Whether to return one row per case rather than per rule.

    Returns
    -------
    pandas.DataFrame
        One row per rule: ``rule``, ``says``, ``cases``, and for each client, in a column of its name, the
        number of cases that it keeps. With `details` one row per case: ``rule``, ``case``, and for each
        client whether it keeps the case.

    Examples
    --------
    >>> async def show() -> None:
    ...     print(await sse_scoreboard())
    """
    chosen = _CLIENTS if clients is None else clients
    cases = (*PARSING_CASES, *CONNECTION_CASES)
    lines: list[dict[str, object]] = [{"rule": case.rule, "case": case.name} for case in cases]
    for name, client in chosen.items():
        kept = [await _parses(client, case) for case in PARSING_CASES]
        kept += [await _connects(client, case) for case in CONNECTION_CASES]
        for line, right in zip(lines, kept, strict=True):
            line[name] = right
    return pd.DataFrame(lines if details else _by_rule(lines, tuple(chosen)))


def _by_rule(lines: list[dict[str, object]], names: tuple[str, ...]) -> list[dict[str, object]]:
    rules = PARSING_RULES | CONNECTION_RULES
    groups = {rule: [line for line in lines if line["rule"] == rule] for rule in rules}
    board: list[dict[str, object]] = []
    for rule, group in groups.items():
        counts = {name: sum(line[name] is True for line in group) for name in names}
        board.append({"rule": rule, "says": rules[rule], "cases": len(group), **counts})
    return board
