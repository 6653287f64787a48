"""What a client says is obeyed in the call that brings its bytes: order, ends and turns, on bare sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.endpoints.aiohttp_frame_checks import StrictFrames
from rtlab.server.incoming_message import Incoming
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from rtlab.server.sinks.write_to_websocket import WebSocketSink
from tests.server.slow_broker import SlowBroker

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

#: Seconds between two looks at the clock of a `Lab` in which time costs something: 20 in a slice.
COST = 0.0002


class Lab:
    """A server on this loop, whose rooms publish when a test lets them; it notes what was obeyed."""

    def __init__(self, **options: Any) -> None:
        self.now = self.cost = 0.0
        self.obeyed: list[Any] = []
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.node = Node(
            Options(token="t", stop_window=0.0, **{"heartbeat": 3600.0, **options}),
            self._clock,
            make_broker=self._broker,
        )
        self.node.ingress.steps.append(self._note)
        self.server = Server(self.node)

    def _broker(self, hub: Any) -> SlowBroker:
        self.broker = SlowBroker(hub)
        return self.broker

    def _clock(self) -> float:
        self.now += self.cost
        return self.now

    def _note(self, incoming: Incoming) -> None:
        if incoming.message.type == "join_room":
            return
        self.obeyed.append(incoming.message.payload)
        self.tasks.append(asyncio.current_task())
        if incoming.message.payload == "boom":
            raise RuntimeError("a fault in a step")

    @contextlib.asynccontextmanager
    async def connect(self, *said: bytes, query: str = "") -> AsyncIterator[Raw]:
        """Shake hands, and say something in the same segment."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        raw = Raw(reader, writer)
        try:
            raw.say(hello(query), *said)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            opcode, data = await raw.frame()
            assert opcode == TEXT
            raw.session = json.loads(data)["payload"]["session"]
            yield raw
        finally:
            writer.transport.abort()


class Raw:
    """One client that is nothing but a socket."""

    session = ""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(5):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            return first & 15, await self.reader.readexactly(size)

    async def heard(self) -> tuple[int, Any]:
        """Return the next echo's payload, or control frame's data."""
        while True:
            opcode, data = await self.frame()
            if opcode != TEXT:
                return opcode, data
            message = json.loads(data)
            if message["type"] == "echo":
                return opcode, message["payload"]

    async def ended(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # it had not read all
            assert await asyncio.wait_for(self.reader.read(1), 20) == b""


def hello(query: str = "") -> bytes:
    return (
        f"GET /ws{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def frame(opcode: int, data: bytes = b"") -> bytes:
    assert len(data) < 126
    return bytes((0x80 | opcode, 0x80 | len(data))) + bytes(4) + data


def echo(payload: Any) -> bytes:
    return frame(TEXT, json.dumps({"type": "echo", "payload": payload}).encode())


def chat(payload: Any) -> bytes:
    return frame(TEXT, json.dumps({"type": "chat", "roomId": "r", "payload": payload}).encode())


JOIN = frame(TEXT, b'{"type":"join_room","payload":{"roomId":"r"}}')


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    await lab.server.start()
    yield lab
    for _ in lab.broker.outstanding[:]:
        lab.broker.fail()
    await lab.server.stop()


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Lab]:
    lab = Lab(**options)
    await lab.server.start()
    try:
        yield lab
    finally:
        await lab.server.stop()


async def test_what_a_call_brings_is_obeyed_in_that_call(lab: Lab) -> None:
    async with lab.connect() as raw:
        raw.say(echo(1))
        assert await raw.heard() == (TEXT, 1)
        raw.say(echo(2), echo(3))
        assert [await raw.heard() for _ in range(2)] == [(TEXT, 2), (TEXT, 3)]
    assert lab.tasks == [None] * 3  # the loop called; no task was woken


async def test_a_message_that_comes_alone_does_not_pass_aiohttps_parser(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.dumps({"type": "echo", "payload": "ü"}, ensure_ascii=False).encode()
    key = b"\x01\xfe\x80\x7f"
    masked = bytes(byte ^ key[n % 4] for n, byte in enumerate(data))
    async with lab.connect() as raw:
        (connection,) = lab.server._runner.server.connections
        strict = connection._payload_parser
        parse, parsed = strict._parser.feed_data, list[bytes]()

        def note(data: bytes) -> Any:
            parsed.append(data)
            return parse(data)

        monkeypatch.setattr(strict, "_parser", SimpleNamespace(feed_data=note, feed_eof=lambda: None))
        raw.say(bytes((0x81, 0x80 | len(data))) + key + masked)
        assert await raw.heard() == (TEXT, "ü")
        assert parsed == []
        raw.say(frame(PING, b"p"))
        assert await raw.heard() == (PONG, b"p")
        assert parsed == [frame(PING, b"p")]


async def test_answers_to_what_a_call_brings_leave_in_one_write(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    write = WebSocketSink._write

    def note(sink: WebSocketSink, data: bytes) -> None:
        writes.append(data)
        write(sink, data)

    async with lab.connect() as raw:
        monkeypatch.setattr(WebSocketSink, "_write", note)
        raw.say(*(echo(n) for n in range(10)))
        assert [await raw.heard() for _ in range(10)] == [(TEXT, n) for n in range(10)]
    assert len(writes) == 1


class PromptLab(Lab):
    """Its rooms publish at once."""

    def _broker(self, hub: Any) -> Any:
        return SingleNodeBroker(hub)


async def test_what_a_member_hears_of_its_own_message_leaves_with_the_ack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writes: dict[WebSocketSink, list[bytes]] = {}
    write = WebSocketSink._write

    def note(sink: WebSocketSink, data: bytes) -> None:
        writes.setdefault(sink, []).append(data)
        write(sink, data)

    lab = PromptLab()
    await lab.server.start()
    try:
        async with lab.connect() as raw, lab.connect() as other:
            for member in (raw, other):
                member.say(JOIN, echo("joined"))
                await member.heard()
            monkeypatch.setattr(WebSocketSink, "_write", note)
            raw.say(frame(TEXT, b'{"type":"chat","roomId":"r","payload":1,"id":"c"}'))
            await until(lambda: any(b'"ack"' in b"".join(data) for data in writes.values()))
            (mine,) = [data for data in writes.values() if b'"ack"' in b"".join(data)]
            assert [(b'"chat"' in data, b'"ack"' in data) for data in mine] == [(True, True)]
    finally:
        await lab.server.stop()


async def test_a_message_in_a_mutable_buffer_is_heard(lab: Lab) -> None:
    async with lab.connect() as raw:
        (connection,) = lab.server._runner.server.connections
        connection.data_received(bytearray(echo(5)))  # as the loop that is Windows' default brings it
        assert await raw.heard() == (TEXT, 5)


@pytest.mark.parametrize("piece", [1000, 7, 1])
async def test_however_bytes_are_cut_their_order_is_kept(lab: Lab, piece: int) -> None:
    said = b"".join((echo(1), frame(PING, b"p"), frame(PONG), echo(2), frame(PING), echo(3)))
    said += frame(CLOSE, b"\x03\xe8")
    # Those of one piece come in one segment with the handshake.
    early = said + echo("behind the end") if piece >= len(said) else b""
    async with lab.connect(early) as raw:
        for at in range(len(early), len(said), piece):
            raw.say(said[at : at + piece])
            await asyncio.sleep(0)
        assert [await raw.heard() for _ in range(6)] == [
            (TEXT, 1), (PONG, b"p"), (TEXT, 2), (PONG, b""), (TEXT, 3), (CLOSE, b"\x03\xe8"),
        ]  # fmt: skip
        await raw.ended()
    await until(lambda: not lab.node.connections.sinks)
    assert lab.obeyed == [1, 2, 3]


async def test_what_is_behind_a_message_that_waits_waits_too(lab: Lab) -> None:
    async with lab.connect(JOIN, chat("first"), echo(1), frame(PING, b"p"), chat("second"), echo(2)) as raw:
        await until(lambda: lab.broker.outstanding)
        raw.say(echo(3), frame(PING, b"q"))
        async with lab.connect(echo("another's")) as other:
            assert await other.heard() == (TEXT, "another's")
        assert lab.obeyed == ["first", "another's"]
        lab.broker.answer()
        assert [await raw.heard() for _ in range(2)] == [(TEXT, 1), (PONG, b"p")]
        await until(lambda: lab.broker.outstanding)
        assert lab.obeyed[2:] == [1, "second"]
        lab.broker.answer()
        assert [await raw.heard() for _ in range(3)] == [(TEXT, 2), (TEXT, 3), (PONG, b"q")]
        raw.say(echo(4))
        assert await raw.heard() == (TEXT, 4)
    assert lab.tasks[-1] is None  # and it hears as before


async def test_what_several_reads_of_one_turn_bring_keeps_its_order(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = StrictFrames.feed_data

    def feed_each(frames: StrictFrames, data: bytes) -> tuple[bool, bytes]:
        for at in range(len(data) - 1):
            feed(frames, data[at : at + 1])
        return feed(frames, data[-1:])

    async with lab.connect(JOIN) as raw:
        monkeypatch.setattr(StrictFrames, "feed_data", feed_each)
        raw.say(echo(1), frame(PING, b"p"), echo(2), chat("waits"), echo(3), chat("waits too"))
        await until(lambda: lab.broker.outstanding)
        lab.broker.answer()
        assert [await raw.heard() for _ in range(4)] == [(TEXT, 1), (PONG, b"p"), (TEXT, 2), (TEXT, 3)]
    assert lab.obeyed == [1, 2, "waits", 3, "waits too"]


async def test_what_came_before_the_end_of_a_connection_is_obeyed(lab: Lab) -> None:
    async with lab.connect() as raw:
        raw.say(*(echo(n) for n in range(50)))
        await asyncio.sleep(0)
        raw.writer.transport.close()  # no closing handshake
        await until(lambda: not lab.node.connections.sinks)
    assert lab.obeyed == list(range(50))


async def test_a_connection_that_ends_while_a_message_waits_leaves_nothing_behind(lab: Lab) -> None:
    async with lab.connect(JOIN, chat("waits"), echo("behind it")) as raw:
        await until(lambda: lab.broker.outstanding)
        raw.writer.transport.abort()
        await until(lambda: not lab.node.connections.sinks)
    lab.broker.answer()
    await asyncio.sleep(0.01)
    assert lab.obeyed == ["waits"]


async def test_a_frame_that_breaks_a_rule_ends_the_connection_behind_what_came_before(lab: Lab) -> None:
    async with lab.connect() as raw:
        raw.say(echo(1), b"\x81\x01x", echo(2))  # not masked
        assert await raw.heard() == (TEXT, 1)
        opcode, data = await raw.frame()
        assert (opcode, data[:2]) == (CLOSE, b"\x03\xea")  # 1002
        raw.say(echo(3))
        await raw.ended()
    assert lab.obeyed == [1]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (b"\x81\x01x", 1002),  # not masked
        (frame(TEXT, b"\xff"), 1007),
        (b"\x81\xff" + (1 << 24).to_bytes(8, "big") + bytes(4), 1009),
        (frame(CLOSE, b"\x03\xed"), 1002),  # 1005 must not be sent
    ],
    ids=["not masked", "not UTF-8", "too big", "a code that is never sent"],
)
async def test_no_frame_follows_a_close_frame(lab: Lab, wrong: bytes, code: int) -> None:
    """RFC 6455 §5.5.1; a client that has read it hears nothing more."""
    async with lab.connect() as raw:
        raw.say(frame(PING, b"p"), echo(1), echo(2), wrong)
        assert [await raw.heard() for _ in range(3)] == [(PONG, b"p"), (TEXT, 1), (TEXT, 2)]
        opcode, data = await raw.frame()
        assert (opcode, data[:2]) == (CLOSE, code.to_bytes(2, "big"))
        (sink,) = lab.node.connections.sinks
        sink.pong(b"too late")
        await raw.ended()


async def test_a_fault_ends_its_own_connection_only(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    async with lab.connect() as witness, lab.connect() as raw:
        raw.say(echo(1), echo("boom"), echo("behind it"))
        assert await raw.heard() == (TEXT, 1)
        await raw.ended()
        witness.say(echo(2))
        assert await witness.heard() == (TEXT, 2)
        assert len(lab.node.connections.sinks) == 1
    assert lab.obeyed == [1, "boom", 2]
    assert "a fault in a step" in caplog.text  # told to whoever runs the server


async def test_a_connection_whose_session_goes_on_elsewhere_is_not_heard_any_more(lab: Lab) -> None:
    async with lab.connect(
        JOIN, chat("waits"), echo("too late"), frame(PING), query="?clientId=ada"
    ) as former:
        await until(lambda: lab.broker.outstanding)
        async with lab.connect(query=f"?clientId=ada&session={former.session}&seq=0") as newer:
            opcode, data = await former.heard()
            assert (opcode, data[:2]) == (CLOSE, (4500).to_bytes(2, "big"))
            lab.broker.answer()
            newer.say(echo("mine"))
            assert await newer.heard() == (TEXT, "mine")
            former.say(echo("too late as well"), frame(CLOSE, b"\x11\x94"))
            await former.ended()
            newer.say(echo("still mine"))
            assert await newer.heard() == (TEXT, "still mine")
    assert lab.obeyed == ["waits", "mine", "still mine"]


@pytest.mark.parametrize(
    "small",
    [frame(PING), frame(PONG), echo(0), frame(PING) + echo(0), frame(TEXT, b'{"type":"gone","id":"1"}')],
    ids=["pings", "pongs", "echoes", "pings between echoes", "refused"],
)
async def test_a_flood_of_small_frames_leaves_everybody_else_their_turns(
    lab: Lab, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []  # of each, what was heard in it

    def heard(sink: WebSocketSink) -> None:
        turns[-1] += 1

    async def count() -> None:
        while True:
            turns.append(0)
            await asyncio.sleep(0)

    async with lab.connect() as raw:
        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        monkeypatch.setattr(WebSocketSink, "heard", heard)
        lab.cost = COST
        raw.say(small * 2000, echo("end"))
        while await raw.heard() != (TEXT, "end"):
            pass
        counting.cancel()
    assert sum(turns) >= 2001
    assert max(turns) <= 50  # a slice in a call that brings bytes, and one in the task


# A client that floods the server and never reads


#: Frames of a period each, and what the server may hold for a client: its bound is far below.
FLOOD = {"pings": frame(PING, b"p" * 125), "echoes": echo("x" * 60)}
MOST_HELD = 1_000_000
#: Bytes that are offered; without a bound all of them are taken.
OFFERED = 50_000_000


def flood(raw: socket.socket, period: bytes) -> int:
    """Send frames without end, until the server takes nothing for a second; return how many bytes."""
    data, sent = period * (65_536 // len(period)), 0
    raw.settimeout(1.0)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < OFFERED:
            sent += raw.send(data[sent % len(data) :])
    return sent


@contextlib.asynccontextmanager
async def flooded(lab: Lab, period: bytes) -> AsyncIterator[tuple[socket.socket, int]]:
    """Flood a server from a socket that reads nothing; yield it, and how many bytes it has sent."""
    with socket.socket() as raw:
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            raw.setsockopt(socket.SOL_SOCKET, buffer, 65_536)
        raw.connect(("127.0.0.1", lab.server.port))
        raw.sendall(hello())
        await until(lambda: lab.node.connections.sinks)
        (sink,) = lab.node.connections.sinks
        flooding = asyncio.create_task(asyncio.to_thread(flood, raw, period))
        most = 0
        while not flooding.done():
            most = max(most, sink.queued_bytes)
            await asyncio.sleep(0.002)
        assert most < MOST_HELD
        yield raw, await flooding


@pytest.mark.parametrize("what", FLOOD)
async def test_what_a_client_asks_for_and_does_not_read_is_bounded_and_answered_when_it_reads(
    what: str,
) -> None:
    async with asyncio.timeout(60), serving(send_buffer_bytes=65_536) as lab:
        period = FLOOD[what]
        async with flooded(lab, period) as (raw, sent):
            raw.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=raw)
            whole = -(-sent // len(period))
            writer.write(period[sent % len(period) :] if sent % len(period) else b"")
            writer.write(echo("end"))
            await reader.readuntil(b"\r\n\r\n")
            client, answers = Raw(reader, writer), 0
            while (heard := await client.heard()) != (TEXT, "end"):
                answers += heard[0] == PONG or heard[1] == "x" * 60
            assert answers == whole
            writer.transport.abort()


@pytest.mark.parametrize("what", FLOOD)
async def test_a_client_that_floods_and_never_reads_is_ended_by_the_heartbeat(what: str) -> None:
    async with asyncio.timeout(60), serving(send_buffer_bytes=65_536) as lab, flooded(lab, FLOOD[what]):
        (sink,) = lab.node.connections.sinks
        assert sink.heartbeat()
        assert not sink.heartbeat()  # it has taken nothing since
        await until(lambda: not lab.node.connections.sinks)
