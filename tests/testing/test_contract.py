"""One contract, three worlds: the mock; the real client against the real server; and that through a proxy.

A row returns what a program could see; all worlds must return the same. Nothing in it knows which one it
is in. Rows of `CONNECTION` use our connection, those of `LIBRARY` the interface of `websockets`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import websockets

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Constant
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.in_memory.memory_server import MemoryServer
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.transport_on_mock_websocket import mock_connection
from rtlab.testing.proxies.websocket_message_proxy import MessageProxy

CONNECTION, LIBRARY = [], []
#: A proxy answers pings and closes itself: its pong does not say that the server's messages are here, and
#: its close frame repeats the reason, which our server's does not.
ANSWERED_NEARBY = ("what_came_before_the_end_can_be_read", "closing", "after_the_end")
VARIES = ("epoch", "message", "ref")


def row(rows: list) -> Callable:
    def add(function):
        rows.append(function)
        return function

    return add


async def outcome(work):
    """Return what came of it; of an error what a program may rely on."""
    try:
        return await work
    except Exception as error:
        return type(error).__name__, getattr(error, "code", None) if not _closed(error) else _ends(error)


def _closed(error):
    return isinstance(error, websockets.ConnectionClosed)


def _ends(error):
    return [end and (end.code, end.reason) for end in (error.rcvd, error.sent)], error.rcvd_then_sent


def shape(message):
    """A message without what differs from run to run."""
    payload = message.payload
    if isinstance(payload, dict):
        payload = {
            key: "…" if key in ("epoch", "message", "ref") else value for key, value in payload.items()
        }
    return message.type, payload, message.room_id, message.offset


# Our connection


@row(CONNECTION)
async def state_over_a_life(dial):
    conn = dial()
    seen = [conn.state.value]
    await conn.connect()
    seen.append(conn.state.value)
    await conn.close()
    return [*seen, conn.state.value]


@row(CONNECTION)
async def the_welcome(dial):
    async with dial() as conn:
        payload = conn.welcome.payload
        return sorted(payload), payload["limits"], payload["resumed"], payload["seq"]


@row(CONNECTION)
async def payloads_come_back_as_they_went(dial):
    async with dial() as conn:
        sent = [None, True, 0, -1, 2**63, 1.5, "", "é😀", [], [1, [2]], {}, {"a": {"b": None}}]
        return [(await conn.request("echo", payload)).payload for payload in sent]


@row(CONNECTION)
async def a_payload_that_json_cannot_say(dial):
    async with dial() as conn:
        bad = [float("nan"), b"bytes", object, {1: 2}, 2**70]
        return [await outcome(conn.send("echo", payload)) for payload in bad]


@row(CONNECTION)
async def a_payload_that_is_nested_too_deeply(dial):
    async with dial() as conn:
        deep = []
        for _ in range(70):
            deep = [deep]
        return await outcome(conn.send("echo", deep))


@row(CONNECTION)
async def a_message_that_is_too_large(dial):
    async with dial() as conn:
        return await outcome(conn.send("echo", "x" * MAX_MESSAGE_BYTES)), conn.state.value


@row(CONNECTION)
async def requests_that_the_server_refuses(dial):
    async with dial() as conn:
        asked = [("join_room", {}), ("join_room", {"roomId": 5}), ("leave_room", {"roomId": "never"})]
        asked += [("welcome", {}), ("feed", {"rate": -1}), ("batch", "no list"), ("unheard_of", {})]
        return [
            shape(a) if not isinstance(a := await outcome(conn.request(*ask)), tuple) else a for ask in asked
        ]


@row(CONNECTION)
async def joining_twice_and_leaving(dial):
    async with dial() as conn:
        answers = [await conn.join_room("r"), await conn.join_room("r"), await conn.leave_room("r")]
        return [shape(answer) for answer in answers]


@row(CONNECTION)
async def a_room_in_order(dial):
    async with dial() as ada, dial() as bob:
        got = asyncio.Queue()
        bob.on("chat", got.put_nowait)
        await bob.join_room("r")
        await ada.join_room("r")
        for n in range(20):
            await ada.send("chat", n, room_id="r")
        return [shape(await got.get()) for _ in range(20)]


@row(CONNECTION)
async def a_sender_hears_itself(dial):
    async with dial() as conn:
        got = asyncio.Queue()
        conn.on("chat", got.put_nowait)
        await conn.join_room("alone")
        await conn.send("chat", "hi", room_id="alone")
        return shape(await got.get())


@row(CONNECTION)
async def publishing_without_being_in_the_room(dial):
    async with dial() as conn:
        return await outcome(conn.request("chat", "hi", room_id="elsewhere"))


@row(CONNECTION)
async def sending_before_and_after(dial):
    conn = dial()
    before = await outcome(conn.send("echo", 1))
    await conn.connect()
    await conn.close()
    return before, await outcome(conn.send("echo", 1)), await outcome(conn.request("echo", 1))


@row(CONNECTION)
async def connecting_and_closing_twice(dial):
    conn = dial()
    await asyncio.gather(conn.connect(), conn.connect())
    await conn.connect()
    await asyncio.gather(conn.close(), conn.close())
    await conn.close()
    return conn.stats.connects, conn.stats.disconnects, conn.state.value


@row(CONNECTION)
async def a_connection_can_be_opened_again(dial):
    conn = dial()
    for _ in range(2):
        async with conn:
            answer = await conn.request("echo", "again")
    return answer.payload, conn.stats.connects


@row(CONNECTION)
async def closing_with_a_code(dial):
    conn = dial()
    ends = []
    conn.on("disconnected", ends.append)
    await conn.connect()
    bad = await outcome(conn.close(1006)), await outcome(conn.close(1000, "x" * 124))
    await conn.close(4000, "bye")
    return bad, [(e.code, e.reason, e.clean, e.will_reconnect) for e in ends]


@row(CONNECTION)
async def an_iterator_gets_what_came_and_ends(dial):
    async with dial() as conn:
        stream = aiter(conn)
        await conn.send("echo", "one")
        await conn.send("echo", "two")
        got = [(await anext(stream)).payload, (await anext(stream)).payload]
        await conn.close()
        return got, await outcome(anext(stream))


@row(CONNECTION)
async def handlers_in_their_order(dial):
    async with dial() as conn:
        seen, last = [], asyncio.Event()
        conn.on("echo", lambda m: seen.append(("first", m.payload)))
        conn.on("*", lambda m: seen.append(("any", m.payload)) if m.type == "echo" else None)
        conn.on("echo", lambda m: last.set())
        await conn.send("echo", 1)
        await last.wait()
        return seen


@row(CONNECTION)
async def a_handler_that_raises(dial):
    async with dial() as conn:
        errors = asyncio.Queue()
        conn.on("echo", lambda m: 1 / 0)
        conn.on("error", errors.put_nowait)
        await conn.send("echo", 1)
        error = await errors.get()
        return error.source, type(error.error).__name__, conn.state.value


@row(CONNECTION)
async def what_is_counted(dial):
    async with dial() as conn:
        for n in range(3):
            await conn.request("echo", n)
        s = conn.stats
        return (
            s.state,
            s.transport,
            s.attempts,
            s.connects,
            s.messages_in,
            s.messages_out,
            s.bytes_out,
            s.dead_letters,
        )


@row(CONNECTION)
async def pings(dial):
    async with dial() as conn:
        return (await conn.ping()) >= 0, conn.stats.rtt is not None


@row(CONNECTION)
async def a_batch_has_one_answer(dial):
    async with dial() as conn:
        batch = [{"type": "echo", "payload": 1, "id": "a"}, {"type": "nonsense", "id": "b"}, 5]
        return shape(await conn.request("batch", batch))


@row(CONNECTION)
async def an_acknowledged_message(dial):
    async with dial() as conn:
        await conn.join_room("acked")
        receipt = await conn.send("chat", "hi", room_id="acked", delivery="effectively_once")
        await receipt.acked(5)
        return receipt.done if hasattr(receipt, "done") else "acked"


async def lose(conn):
    """Drop the connection as a pulled cable would."""
    conn._runner.transport.abort()


@row(CONNECTION)
async def a_lost_connection_comes_back(dial):
    events, back = [], asyncio.Event()
    conn = dial(backoff=Constant(seconds=0.02, min_uptime=0))
    for name in ("connected", "disconnected", "reconnecting"):
        conn.on(name, lambda event, name=name: events.append(name))
    async with conn:
        conn.on("connected", lambda event: back.set() if event.resumed else None)
        await lose(conn)
        await back.wait()
        return events, conn.stats.connects, (await conn.request("echo", 1)).payload


@row(CONNECTION)
async def nothing_is_lost_over_a_cut(dial):
    got, all_of_it = [], asyncio.Event()
    conn = dial(backoff=Constant(seconds=0.05, min_uptime=0))
    conn.on("chat", lambda m: (got.append((m.payload, m.offset)), len(got) == 10 and all_of_it.set()))
    async with conn, dial() as ada:
        await conn.join_room("cut")
        await ada.join_room("cut")
        await lose(conn)
        for n in range(10):
            await ada.send("chat", n, room_id="cut")
        await all_of_it.wait()
    return got


@row(CONNECTION)
async def without_reconnects_it_is_over(dial):
    conn, ended = dial(max_reconnect_attempts=0), asyncio.Event()
    conn.on("disconnected", lambda event: ended.set())
    await conn.connect()
    await lose(conn)
    await ended.wait()
    left = conn.state.value, await outcome(conn.send("echo", 1))
    await conn.close()
    return left


# As `websockets`


def text(n):
    return json.dumps({"type": "echo", "payload": n})


def payload(data):
    return json.loads(data).get("payload") if data else None


@row(LIBRARY)
async def the_first_frame(dial):
    async with dial() as ws:
        first = await ws.recv()
        return type(first).__name__, json.loads(first)["type"], ws.subprotocol


@row(LIBRARY)
async def subprotocols(dial):
    chosen = []
    for offered in (["rtlab.v1.json"], ["other", "rtlab.v1.json"], ["other"]):
        async with dial(offered) as ws:
            chosen.append(ws.subprotocol)
    return chosen


@row(LIBRARY)
async def text_and_bytes(dial):
    async with dial() as ws:
        await ws.recv()
        got = []
        for data in (text(1), text(2).encode(), bytearray(text(3).encode()), [text(4)[:5], text(4)[5:]]):
            await ws.send(data)
            answer = await ws.recv()
            got.append((type(answer).__name__, payload(answer)))
        return got


@row(LIBRARY)
async def what_cannot_be_sent(dial):
    async with dial() as ws:
        return [await outcome(ws.send(data)) for data in (5, {"a": 1}, ["a", b"b"], None)]


async def one_by_one(*pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@row(LIBRARY)
async def fragments_of_all_kinds(dial):
    async with dial() as ws:
        await ws.recv()
        for nothing in ([], (), iter([]), one_by_one()):
            await ws.send(nothing)
        got = []
        whole, data = text(1), text(2).encode()
        for pieces in (
            iter([whole[:3], whole[3:]]),
            one_by_one(whole[:3], whole[3:]),
            [data[:3], bytearray(data[3:6]), memoryview(data[6:])],
            one_by_one(data[:3], b"", data[3:]),
        ):
            await ws.send(pieces)
            got.append(payload(await ws.recv()))
        return got


@row(LIBRARY)
async def text_as_bytes_and_bytes_as_text(dial):
    async with dial() as ws:
        await ws.recv()
        got = []
        for data, as_text in ((text(1), False), (text(2).encode(), True), ([text(3).encode()], True)):
            await ws.send(data, text=as_text)
            got.append(payload(await ws.recv()))
        for decode in (True, False, None):
            await ws.send(text(4))
            got.append(type(await ws.recv(decode)).__name__)
        return got


@row(LIBRARY)
async def a_fragmented_message_that_breaks_off(dial):
    async def broken():
        yield "a"
        raise ZeroDivisionError

    ends = []
    for wrong in (["a", b"b"], one_by_one("a", 5), broken(), one_by_one(5), iter(["a", {}])):
        async with dial() as ws:
            await ws.recv()
            ends.append((await outcome(ws.send(wrong)), ws.close_code, ws.close_reason, ws.state.name))
            ends.append((await outcome(ws.recv()), await outcome(ws.send("x")), await outcome(ws.send([]))))
    return ends


@row(LIBRARY)
async def others_wait_until_a_fragmented_message_is_complete(dial):
    async with dial() as ws:
        await ws.recv()
        begun, go = asyncio.Event(), asyncio.Event()

        async def slowly():
            yield text(1)[:5]
            begun.set()
            await go.wait()
            yield text(1)[5:]

        first = asyncio.create_task(ws.send(slowly()))
        await begun.wait()
        second = asyncio.create_task(ws.send(text(2)))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, second)
        return [payload(await ws.recv()) for _ in range(2)]


@row(LIBRARY)
async def a_close_amid_a_fragmented_message(dial):
    async with dial() as ws:
        await ws.recv()
        begun, go = asyncio.Event(), asyncio.Event()

        async def slowly():
            yield "a"
            begun.set()
            await go.wait()
            yield "b"

        sending = asyncio.create_task(outcome(ws.send(slowly())))
        await begun.wait()
        await ws.close()
        go.set()
        return await sending, ws.close_code


@row(LIBRARY)
async def nonsense_is_answered(dial):
    async with dial() as ws:
        await ws.recv()
        answers = []
        for data in ("nonsense", "[1]", '{"type":5}', "{}"):
            await ws.send(data)
            answers.append((json.loads(await ws.recv())["payload"]["code"], ws.state.name))
        return answers


@row(LIBRARY)
async def too_much_is_refused(dial):
    async with dial() as ws:
        await ws.recv()
        await ws.send("x" * (MAX_MESSAGE_BYTES + 1000))
        await ws.wait_closed()
        return ws.close_code


@row(LIBRARY)
async def closing(dial):
    seen = []
    for arguments in ((), (1000, "done"), (4000, "bye"), (1001,)):
        async with dial() as ws:
            await ws.close(*arguments)
            await ws.wait_closed()
            seen.append((ws.close_code, ws.close_reason, ws.state.name))
    return seen


@row(LIBRARY)
async def closing_twice(dial):
    async with dial() as ws:
        await asyncio.gather(ws.close(), ws.close(4000))
        await ws.close(1000)
        return ws.close_code


@row(LIBRARY)
async def after_the_end(dial):
    async with dial() as ws:
        await ws.recv()
        await ws.close(4001, "why")
        return await outcome(ws.recv()), await outcome(ws.send("x")), await outcome(ws.ping())


@row(LIBRARY)
async def after_an_orderly_end(dial):
    async with dial() as ws:
        await ws.recv()
        await ws.close()
        return await outcome(ws.recv()), await outcome(ws.send("x"))


@row(LIBRARY)
async def what_came_before_the_end_can_be_read(dial):
    async with dial() as ws:
        await ws.send(text(1))
        await (await ws.ping())  # both answers are here
        await ws.close()
        return [json.loads(await ws.recv())["type"] for _ in range(2)], await outcome(ws.recv())


@row(LIBRARY)
async def an_iterator_ends_with_1000(dial):
    async with dial() as ws:
        got = []
        async for data in ws:
            got.append(json.loads(data)["type"])
            await (ws.send(text(1)) if len(got) < 3 else ws.close())
        return got


@row(LIBRARY)
async def an_iterator_raises_otherwise(dial):
    async def read(ws):
        async for _ in ws:
            await ws.close(4000)

    async with dial() as ws:
        return await outcome(read(ws))


@row(LIBRARY)
async def two_readers_at_once(dial):
    async with dial() as ws:
        await ws.recv()
        first = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        second = await outcome(ws.recv())
        await ws.send(text(7))
        return second, payload(await first)


@row(LIBRARY)
async def a_reader_that_is_cancelled_loses_nothing(dial):
    async with dial() as ws:
        await ws.recv()
        reading = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await ws.send(text(8))
        return payload(await ws.recv())


@row(LIBRARY)
async def pings_are_answered(dial):
    async with dial() as ws:
        return (await (await ws.ping())) >= 0, (await (await ws.ping(b"mine"))) >= 0


@row(LIBRARY)
async def what_a_ping_carries(dial):
    async with dial() as ws:
        fine = [await (await ws.ping(data)) >= 0 for data in ("text", b"", bytearray(b"x"), b"x" * 125)]
        return fine, await outcome(ws.ping(b"x" * 126)), await outcome(ws.ping(5.5)), ws.state.name


@row(LIBRARY)
async def a_code_that_cannot_be_sent(dial):
    async with dial() as ws:
        return [await outcome(ws.close(code)) for code in (1006, 999)], ws.state.name


@row(LIBRARY)
async def states(dial):
    async with dial() as ws:
        before = ws.state.name, ws.close_code, ws.close_reason
        await ws.close()
        return before, ws.state.name


async def _within(work):
    async with asyncio.timeout(60):
        return await work


async def _all(rows, dial_of):
    return {function.__name__: await _within(function(dial_of())) for function in rows}


def mock_rows() -> dict:
    def connection():
        server = MemoryServer()
        return lambda **options: mock_connection(server, **options)

    def library():
        server = MemoryServer()
        return lambda protocols=(): MockWebSocket(server, protocols=protocols)

    clock = FakeClock()
    return clock.run(_all(CONNECTION, connection)) | clock.run(_all(LIBRARY, library))


async def rows_at(url: str, leave_out: tuple[str, ...] = ()) -> dict:
    def connection():
        return lambda **options: WebSocketConnection(url, **options)

    def library():
        return lambda protocols=(): websockets.connect(
            url, subprotocols=list(protocols) or None, compression=None, proxy=None
        )

    rows = [function for function in LIBRARY if function.__name__ not in leave_out]
    return await _all(CONNECTION, connection) | await _all(rows, library)


async def real_rows() -> tuple[dict, dict]:
    async with Lab() as lab:
        real = await rows_at(lab.ws_url)
    async with Lab() as lab, MessageProxy(lab.ws_url) as proxy:  # which has no rules
        return real, await rows_at(proxy.url, ANSWERED_NEARBY)


@pytest.fixture(scope="module")
def worlds() -> tuple[dict, dict, dict]:
    return mock_rows(), *asyncio.run(real_rows())


NAMES = [function.__name__ for function in (*CONNECTION, *LIBRARY)]


@pytest.mark.parametrize("name", NAMES)
def test_the_mock_and_the_real_one_agree(worlds: tuple[dict, dict, dict], name: str):
    mock, real, _ = worlds
    assert mock[name] == real[name]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ANSWERED_NEARBY])
def test_a_message_proxy_without_rules_changes_nothing(worlds: tuple[dict, dict, dict], name: str):
    _, real, through = worlds
    assert through[name] == real[name]
