"""Runs the test cases against a client; each case says what a scripted server sends to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, Protocol

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import FrameReader, raw_frame
from rtlab.experiments.websocket_conformance.frame_cases import Fails, FrameCase, Returns, Takes
from rtlab.experiments.websocket_conformance.handshake_cases import AnswerCase
from rtlab.experiments.websocket_conformance.outcome import (
    FENCE,
    ReceiverOutcome,
    ScoreboardRow,
    abreast,
    sent,
    verdict,
)
from rtlab.protocol.http1_message_parser import Head, parse_head
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG
from rtlab.protocol.websocket_handshake import accept_of

__all__ = ["ClientUnderTest", "client_frames", "client_handshakes", "ours"]

#: Seconds after which a client fails a case if it has not done what the rule requires.
PATIENCE: Final = 5.0

#: Seconds to wait for a client's reaction after its pong for the fence: its library may answer the fence
#: before its program has read the message.
LATE: Final = 2.0

#: The server's side of one connection, called once the client's handshake request has been read.
Talk = Callable[[Head, FrameReader, asyncio.StreamWriter], Awaitable[None]]


class ClientUnderTest(Protocol):
    """Connects, calls `got` for each message, returns when the connection ends; raises if it cannot."""

    async def __call__(self, url: str, got: Callable[[], None], *, deflate: bool) -> None: ...


async def ours(url: str, got: Callable[[], None], *, deflate: bool) -> None:
    """Connect with rtlab's own client."""
    over = asyncio.Event()
    conn = WebSocketConnection(
        url, compression="deflate" if deflate else None, max_reconnect_attempts=0, heartbeat=None
    )
    conn.on("echo", lambda message: got())
    conn.on("error", lambda event: None)  # expected, as cases break rules: do not log it
    conn.on("disconnected", lambda event: over.set())
    try:
        await conn.connect()
        await over.wait()
    finally:
        await conn.close()


async def client_handshakes(
    cases: Sequence[AnswerCase], client: ClientUnderTest = ours
) -> list[ScoreboardRow]:
    """Answer the client's handshake as each case says; return one row of results per case."""
    return await abreast(cases, lambda case: _handshake(case, client))


async def _handshake(case: AnswerCase, client: ClientUnderTest) -> ScoreboardRow:
    connected = asyncio.Event()

    async def talk(head: Head, frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_answer(case, head))
        writer.write(raw_frame(PING, FENCE, mask=False))
        while (frame := await frames.next()) is not None:
            if frame.opcode == PONG:  # a pong shows that the client has connected
                connected.set()
                writer.write(raw_frame(CLOSE, b"\x03\xe8", mask=False))

    saw = ""
    async with _listening(talk) as url:
        try:
            async with asyncio.timeout(PATIENCE):
                await client(url, lambda: None, deflate=case.deflate)
        except ConnectFailed as error:
            saw = str(error)
        except TimeoutError:
            saw = "it waited"
    saw = "connected" if connected.is_set() else saw or "it gave up"
    return ScoreboardRow("client", case.name, case.section, connected.is_set() == case.connects, saw)


def _answer(case: AnswerCase, head: Head) -> bytes:
    accept = accept_of(head.get(b"sec-websocket-key").decode("latin-1"))
    lines = [case.start]
    for name, value in case.fields.items():
        values = () if value is None else (value,) if isinstance(value, str) else value
        lines += [f"{name}: {one.replace('{accept}', accept)}" for one in values]
    return "\r\n".join([*lines, "", ""]).encode()


async def client_frames(
    cases: Sequence[FrameCase], client: ClientUnderTest = ours, *, deflate: bool = False
) -> list[ScoreboardRow]:
    """Complete a handshake, send each case's frames to the client, and judge; return a row per case."""
    return await abreast(cases, lambda case: _frames(case, client, deflate=deflate))


async def _frames(case: FrameCase, client: ClientUnderTest, *, deflate: bool) -> ScoreboardRow:
    outcome, delivered = ReceiverOutcome(), asyncio.Event()
    awaited = case.expect.notes if isinstance(case.expect, Takes) else 0
    ends = isinstance(case.expect, Returns)

    def got() -> None:
        outcome.notes += 1
        if outcome.notes >= awaited:
            delivered.set()

    async def talk(head: Head, frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        extension = {"Sec-WebSocket-Extensions": "permessage-deflate"} if deflate else {}
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "{accept}"}
        good = AnswerCase("", "", {**fields, **extension}, True)
        writer.write(_answer(good, head) + sent(case, mask=False))
        if not ends:
            writer.write(raw_frame(PING, FENCE, mask=False))
        while True:
            async with asyncio.timeout(LATE if outcome.fence else PATIENCE):
                frame = await frames.next()
            if frame is None:
                break
            outcome.mask_is_wrong |= not frame.masked
            if frame.opcode == PONG:
                outcome.pong(frame.payload)
            elif frame.opcode == CLOSE:
                outcome.code = frame.code
                return
            if outcome.fence and not isinstance(case.expect, Fails):
                if awaited:
                    async with asyncio.timeout(LATE):
                        await delivered.wait()
                return
        outcome.ended = True

    async with _listening(talk) as url:
        with contextlib.suppress(ConnectFailed, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await client(url, got, deflate=deflate)
    return verdict("client", case, outcome)


@contextlib.asynccontextmanager
async def _listening(talk: Talk) -> AsyncGenerator[str]:
    """Listen for WebSocket connections during the block; yield the URL."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(serve(reader, writer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError):
                said = b""
                while (head := parse_head(said)) is None:
                    data = await reader.read(65_536)
                    if not data:
                        return
                    said += data
                await talk(head, FrameReader(reader, said[head.size :]), writer)
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
