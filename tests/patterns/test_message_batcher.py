"""MessageBatcher in memory, and over all transports of a real server, cut in mid-batch too."""

from __future__ import annotations

import asyncio
import contextlib
import math

import pytest

from rtlab.client.connection import Connection
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.send_throttle import Throttle
from rtlab.client.transports.websockets_library_subclass import WebSocketListener
from rtlab.errors import InvalidState, MessageError, MessageTooLarge, NotConnected, RequestRefused
from rtlab.lab.lab import Lab
from rtlab.patterns.message_batcher import MessageBatcher
from rtlab.policies.backoff import Constant
from rtlab.policies.size_or_time_batching_windows import Adaptive, Batch, FixedTick
from rtlab.policies.token_bucket import TokenBucket
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from rtlab.protocol.message_format import Message
from rtlab.protocol.payload_schemas import Schemas
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.scripted_peer import ScriptedPeer
from rtlab.testing.mock.transport_on_mock_websocket import mock_connection
from tests.memory import Factory, turns, welcome
from tests.patterns.in_process import client, serving

TRANSPORTS = [WebSocketConnection, ServerSentEvents, LongPolling, WebRTCChannel]


class Timer:
    def cancel(self):
        pass


class AtOnce(MemoryTransport):
    """Writes batches without waiting, as a WebSocket does whose buffer has room."""

    full = False

    def send_at_once(self, batch: Message) -> bool:
        if self.full:
            return False
        with contextlib.suppress(StopIteration):
            self.send(batch).send(None)
        return True


class Server:
    """Answers batches, or keeps silent; refuses messages of the type "bad"."""

    def __init__(self, transport: type[MemoryTransport] = MemoryTransport) -> None:
        self.silent = False
        self.transport = transport(welcome=welcome(), on_send=self.take)
        self.batches: list[list[object]] = []

    def take(self, message: Message) -> None:
        self.batches.append([item.payload for item in message.payload])
        if self.silent:
            return
        results = [
            {"ok": True}
            if item.type != "bad"
            else {"ok": False, "error": {"code": "unknown_type", "message": "no such type"}}
            for item in message.payload
        ]
        self.transport.push(Message("ack", {"results": results}, id=message.id))


@pytest.fixture(params=[MemoryTransport, AtOnce])
async def server(request):
    return Server(request.param)


@pytest.fixture
async def conn(server):
    async with Connection(Factory(server.transport)) as connection:
        yield connection


async def test_a_full_batch_leaves_at_once_and_each_message_has_a_result(server, conn):
    async with MessageBatcher(conn, batch_size=3, flush_interval=60) as batcher:
        receipts = [await batcher.send("note", n) for n in range(3)]
        assert [await receipt.acked(5) for receipt in receipts] == [{"ok": True}] * 3
        assert {receipt.outcome for receipt in receipts} == {"handled"}
    assert server.batches == [[0, 1, 2]]
    assert batcher.stats.messages_per_batch == 3
    assert batcher.stats.handled == 3


async def test_one_that_waits_alone_leaves_after_the_interval(server, conn):
    async with MessageBatcher(conn, batch_size=3, flush_interval=0.02) as batcher:
        receipt = await batcher.send("note", 1)
        assert batcher.stats.collected == 1
        await receipt.acked(5)
    assert server.batches == [[1]]


async def test_full_batches_share_a_timer_and_the_last_one_leaves_in_its_own_time(server, conn, monkeypatch):
    loop, clock = asyncio.get_running_loop(), [0.0]
    timers = []
    monkeypatch.setattr(loop, "call_later", lambda wait, call: timers.append((wait, call)) or Timer())
    batcher = MessageBatcher(conn, batch_size=2, flush_interval=1.0, clock=lambda: clock[0])
    for n in range(9):
        clock[0] = n / 10
        await batcher.send("note", n)
    assert [wait for wait, _ in timers] == [1.0]
    clock[0] = 1.0
    timers[0][1]()  # the first batch's time: the last one's comes at 1.8
    assert batcher.stats.collected == 1
    assert timers[1][0] == pytest.approx(0.8)
    clock[0] = 1.8
    timers[1][1]()
    assert batcher.stats.collected == 0
    monkeypatch.undo()
    await batcher.close()
    assert server.batches == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]


async def test_a_window_that_gets_shorter_sets_its_timer_again(server, conn, monkeypatch):
    loop, clock = asyncio.get_running_loop(), [0.0]
    timers = []
    monkeypatch.setattr(loop, "call_later", lambda wait, call: timers.append((wait, call)) or Timer())
    window = Adaptive(target=1.0, gain=1.0, batch_size=2)
    batcher = MessageBatcher(conn, window=window, clock=lambda: clock[0])
    await batcher.send("note", 0)
    clock[0] = 1.5
    timers[0][1]()  # waited 1.5 s for a target of 1: the next one waits for less
    await batcher.send("note", 1)
    await batcher.send("note", 2)  # full; its timer stays
    batcher._batch = Batch(0.1)
    await batcher.send("note", 3)
    assert [wait for wait, _ in timers] == [1.5, pytest.approx(1.5 / math.exp(0.5)), pytest.approx(0.1)]
    monkeypatch.undo()
    await batcher.close()


async def test_a_batch_that_need_not_wait_is_written_in_the_call_that_fills_it():
    server = Server(AtOnce)
    async with Connection(Factory(server.transport)) as conn:
        batcher = MessageBatcher(conn, batch_size=2, flush_interval=60)
        for n in range(4):
            await batcher.send("note", n)
        assert server.batches == [[0, 1], [2, 3]]
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "message batch"]
        await batcher.close()
        assert (batcher.stats.handled, conn.stats.messages_out) == (4, 2)


async def test_a_batch_that_may_have_to_wait_is_not_overtaken():
    server = Server(AtOnce)
    async with Connection(Factory(server.transport)) as conn:
        batcher = MessageBatcher(conn, batch_size=1)
        server.transport.full = True
        await batcher.send("note", 0)
        server.transport.full = False
        await batcher.send("note", 1)
        await batcher.flush()
        await batcher.send("note", 2)
        assert server.batches == [[0], [1], [2]]  # and the last one need not wait again
        await batcher.close()
        assert batcher.stats.handled == 3


async def test_one_that_had_to_wait_sends_none_behind_it_the_slow_way_once_it_is_written():
    server = Server(AtOnce)
    server.silent = True
    async with Connection(Factory(server.transport)) as conn:
        batcher = MessageBatcher(conn, batch_size=1)
        server.transport.full = True
        await batcher.send("note", 0)  # in a task, which has begun
        server.transport.full = False
        assert server.batches == [[0]]
        for n in range(1, 4):
            await batcher.send("note", n)
        tasks = [task for task in asyncio.all_tasks() if task.get_name() == "message batch"]
        assert (len(tasks), server.batches) == (1, [[0], [1], [2], [3]])
        server.transport.drop()
        await batcher.close()


async def test_an_interval_of_zero_sends_together_what_one_turn_sends(server, conn):
    async with MessageBatcher(conn, batch_size=100, flush_interval=0) as batcher:
        for n in range(7):
            receipt = await batcher.send("note", n)
        await receipt.acked(5)
    assert server.batches == [[0, 1, 2, 3, 4, 5, 6]]


async def test_a_sender_that_never_waits_lets_others_have_the_loop(server, conn):
    turns: list[int] = []
    sending = True

    async def other():
        while sending:
            turns.append(len(server.batches))
            await asyncio.sleep(0)

    looking = asyncio.create_task(other())
    async with MessageBatcher(conn, batch_size=10, flush_interval=60) as batcher:
        for n in range(1_000):
            await batcher.send("note", n)
        sending = False
        assert batcher.stats.handled > 0  # answers were read meanwhile
    await looking
    assert len(turns) >= 10
    assert [n for batch in server.batches for n in batch] == list(range(1_000))


async def test_a_sender_whose_batches_leave_for_their_bytes_lets_others_have_the_loop(server, conn):
    batcher = MessageBatcher(conn, batch_size=1_000, flush_interval=60, max_bytes=100)
    for _ in range(250):
        await batcher.send("note", "x" * 60)  # no two fit
    assert batcher.stats.handled > 0  # answers were read meanwhile
    await batcher.close()
    assert (batcher.stats.batches, batcher.stats.handled) == (250, 250)


async def test_closing_sends_what_was_collected(server, conn):
    batcher = MessageBatcher(conn, batch_size=100, flush_interval=60)
    receipts = [await batcher.send("note", n) for n in range(5)]
    await asyncio.gather(batcher.flush(), batcher.close(), batcher.close())
    assert server.batches == [[0, 1, 2, 3, 4]]
    assert [receipt.outcome for receipt in receipts] == ["handled"] * 5
    with pytest.raises(InvalidState, match="MessageBatcher"):
        await batcher.send("note", 6)


async def test_a_batch_never_exceeds_its_bytes(server, conn):
    size = len(JSON.encode(Message("note", "x" * 30)))
    async with MessageBatcher(conn, batch_size=100, flush_interval=60, max_bytes=2 * size + 1) as batcher:
        for _ in range(5):
            await batcher.send("note", "x" * 30)
        with pytest.raises(MessageTooLarge, match="split it"):
            await batcher.send("note", "x" * 300)
    assert [len(batch) for batch in server.batches] == [2, 2, 1]


async def test_a_batch_never_exceeds_what_the_server_takes(server, conn):
    server.transport.max_message_bytes = limit = 500  # less than the 1,000 that the server's welcome says
    async with MessageBatcher(conn, batch_size=100, flush_interval=60) as batcher:
        assert conn.max_message_bytes == limit
        for n in range(30):
            await batcher.send("note", f"{n:070}")
        with pytest.raises(MessageTooLarge):
            await batcher.send("note", "x" * limit)
    assert batcher.stats.handled == 30
    assert len(server.batches) > 1
    assert all(len(JSON.encode(frame)) <= limit for frame in server.transport.sent)


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "by tasks"])
async def test_a_batch_whose_limit_was_learnt_after_it_was_collected_leaves_in_pieces(slow):
    async with serving(max_message_bytes=2_000) as running:
        conn = client(running, throttle=Throttle(TokenBucket(1_000_000, 1_000)) if slow else None)
        batcher = MessageBatcher(conn, batch_size=1_000, flush_interval=60)
        for n in range(100):  # before anything is known of the server
            await batcher.send("echo", f"{n:070}")
        got: list[str] = []
        conn.on("echo", lambda message: got.append(message.payload))
        async with asyncio.timeout(30), conn:
            await batcher.close()
        assert (batcher.stats.handled, batcher.stats.refused) == (100, 0)
        assert got == [f"{n:070}" for n in range(100)]
        assert conn.dead_letters == ()


async def test_a_batch_is_measured_as_the_connection_writes_it():
    async with (
        asyncio.timeout(30),
        serving(max_message_bytes=20_000) as running,
        client(running, codec=MSGPACK) as conn,
    ):
        async with MessageBatcher(conn, batch_size=100, flush_interval=60) as batcher:
            for _ in range(20):
                await batcher.send("echo", [1.5] * 400)  # 1.6 kB as JSON, 3.6 kB as MessagePack
        assert (batcher.stats.handled, batcher.stats.refused) == (20, 0)


async def test_a_write_that_fails_ends_the_connection_and_leaves_nobody_waiting(monkeypatch):
    def fail(*args, **options):
        raise OSError("no buffer space")

    async with asyncio.timeout(30), serving() as running, client(running) as conn:
        batcher = MessageBatcher(conn, batch_size=2, flush_interval=60)
        with monkeypatch.context() as patched:
            patched.setattr(WebSocketListener, "write_together", fail)
            receipts = [await batcher.send("echo", n) for n in range(3)]
            await batcher.flush()
        assert [receipt.outcome for receipt in receipts] == ["unknown"] * 3
        assert batcher.stats.in_flight == 0
        await conn.connect()
        after = await batcher.send("echo", "after")
        await batcher.close()
        assert after.outcome == "handled"


async def test_flushing_waits_for_what_was_sent_before_and_not_for_what_others_send_meanwhile(server, conn):
    batcher = MessageBatcher(conn, batch_size=1)
    sending = True

    async def other():
        while sending:
            await batcher.send("note", "other")
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    receipt = await batcher.send("note", "mine")
    await asyncio.wait_for(batcher.flush(), 5)
    assert receipt.outcome == "handled"
    sending = False
    await task
    await batcher.close()


async def test_who_waits_for_room_goes_before_who_comes_when_there_is_some(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=1, max_in_flight=1, answer_timeout=60)
    await batcher.send("note", 0)
    waiting = [asyncio.create_task(batcher.send("note", n)) for n in (1, 2, 3)]
    await turns(3)
    server.silent = False
    server.take(server.transport.sent[0])
    while batcher.stats.in_flight:
        await asyncio.sleep(0)
    newcomer = asyncio.create_task(batcher.send("note", 4))
    await asyncio.gather(*waiting, newcomer)
    await batcher.close()
    assert [n for batch in server.batches[2:] for n in batch] == [1, 2, 3, 4]


async def test_a_schema_of_the_connections_holds_for_what_is_batched(server):
    schemas = Schemas({("note", 1): {"type": "integer"}})
    async with (
        Connection(Factory(server.transport), schemas=schemas) as conn,
        MessageBatcher(conn, batch_size=10, flush_interval=60) as batcher,
    ):
        await batcher.send("note", 1)
        with pytest.raises(MessageError, match="note: payload"):
            await batcher.send("note", "one")
        assert conn.stats.dead_letters == 1
    assert server.batches == [[1]]


async def test_a_refused_message_does_not_touch_the_others(server, conn):
    async with MessageBatcher(conn, batch_size=3, flush_interval=60) as batcher:
        first, bad, last = [await batcher.send(kind, kind) for kind in ("note", "bad", "last")]
        await first.acked(5)
        await last.acked(5)
        with pytest.raises(RequestRefused, match="no such type") as refused:
            await bad.acked(5)
        assert refused.value.code == "unknown_type"
        assert bad.outcome == "refused"
    assert [(message.type, type(error)) for message, error in batcher.failures] == [("bad", RequestRefused)]


async def test_what_gets_no_answer_is_unknown_and_said(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=2, flush_interval=60, answer_timeout=0.05)
    receipts = [await batcher.send("note", n) for n in range(2)]
    for receipt in receipts:
        with pytest.raises(TimeoutError):
            await receipt.acked(5)
        assert receipt.outcome == "unknown"
    assert batcher.stats.unknown == 2
    assert len(batcher.failures) == 2
    assert len(conn._requests) == 0  # nothing is kept of what was given up
    await batcher.close()


async def test_waiting_for_a_receipt_has_a_deadline_and_calls_nothing_back(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=1, answer_timeout=5)
    receipt = await batcher.send("note", 1)
    with pytest.raises(TimeoutError):
        await receipt.acked(0.01)
    assert receipt.outcome == "waiting"
    server.transport.drop()
    with pytest.raises(NotConnected):
        await receipt.acked(5)
    await batcher.close()


async def test_sending_waits_while_too_much_is_unanswered(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=2, max_in_flight=2, answer_timeout=0.1)
    for n in range(2):
        await batcher.send("note", n)
    third = asyncio.create_task(batcher.send("note", 2))
    assert await asyncio.wait({third}, timeout=0.02) == (set(), {third})
    await asyncio.wait_for(third, 5)  # after the answer's deadline there is room again
    await batcher.close()


async def test_sending_waits_while_too_many_bytes_are_unanswered(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=1, max_in_flight_bytes=1_000, answer_timeout=0.1)
    for _ in range(2):
        await batcher.send("note", "x" * 600)
    third = asyncio.create_task(batcher.send("note", 2))
    assert await asyncio.wait({third}, timeout=0.02) == (set(), {third})
    await asyncio.wait_for(third, 5)
    await batcher.close()


async def test_closing_wakes_who_waits_to_send(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=1, max_in_flight=1, answer_timeout=0.1)
    await batcher.send("note", 0)
    second = asyncio.create_task(batcher.send("note", 1))
    await asyncio.sleep(0)
    await batcher.close()
    with pytest.raises(InvalidState):
        await second


async def test_a_close_that_is_cancelled_leaves_no_task(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=1, answer_timeout=60)
    receipt = await batcher.send("note", 0)
    closing = asyncio.create_task(batcher.close())
    for _ in range(3):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    with pytest.raises(NotConnected):
        await receipt.acked(5)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "message batch"]


async def test_without_a_connection_each_message_says_so():
    conn = Connection(Factory(MemoryTransport(welcome=welcome())))
    async with MessageBatcher(conn, batch_size=2, flush_interval=60) as batcher:
        receipts = [await batcher.send("note", n) for n in range(3)]
    for receipt in receipts:
        with pytest.raises(NotConnected):
            await receipt.acked(1)
    assert batcher.stats.unknown == 3


async def test_an_answer_that_is_no_list_of_results_is_said(server, conn):
    server.silent = True
    batcher = MessageBatcher(conn, batch_size=1, answer_timeout=5)
    receipt = await batcher.send("note", 1)
    while not server.transport.sent:
        await asyncio.sleep(0)
    ident = server.transport.sent[-1].id
    server.transport.push(Message("ack", {"results": "all well"}, id=ident))
    with pytest.raises(MessageError, match="results"):
        await receipt.acked(5)
    await batcher.close()


async def test_a_payload_changed_after_sending_travels_as_it_was(server, conn):
    payload = {"n": 1}
    async with MessageBatcher(conn, batch_size=10, flush_interval=60) as batcher:
        await batcher.send("note", payload)
        payload["n"] = 2
    assert server.batches == [[{"n": 1}]]


async def test_a_bad_payload_is_refused_where_it_is_sent(server, conn):
    async with MessageBatcher(conn, batch_size=10, flush_interval=60) as batcher:
        await batcher.send("note", 1)
        for kind, payload in (("note", math.nan), ("note", {1: 2}), ("batch", []), (7, None)):
            with pytest.raises(MessageError):
                await batcher.send(kind, payload)
    assert server.batches == [[1]]


async def test_a_mocked_peer_gets_batches_too():
    peer = ScriptedPeer(PeerScript().expect({"type": "batch"}).close(1012))
    async with mock_connection(peer) as conn:
        batcher = MessageBatcher(conn, batch_size=1)
        receipt = await batcher.send("note", 1)
        with pytest.raises(NotConnected):
            await receipt.acked(5)
        await batcher.close()
    peer.check()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"batch_size": 1001}, "1,000"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"flush_interval": math.nan}, "flush_interval"),
        ({"flush_interval": math.inf}, "flush_interval"),
        ({"flush_interval": -1}, "flush_interval"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_in_flight": 5}, "max_in_flight"),
        ({"max_in_flight_bytes": 0}, "max_in_flight_bytes"),
        ({"answer_timeout": 0}, "answer_timeout"),
        ({"answer_timeout": math.nan}, "answer_timeout"),
    ],
)
async def test_options_out_of_range_are_refused(conn, options, words):
    with pytest.raises(ValueError, match=words):
        MessageBatcher(conn, **options)


# Over a real server


@pytest.fixture
async def lab():
    async with Lab(faults=True) as running:
        yield running


@pytest.mark.parametrize("kind", TRANSPORTS, ids=lambda kind: kind.__name__)
async def test_order_is_kept_and_every_message_is_handled(lab, kind):
    url = lab.ws_url if kind is WebSocketConnection else lab.url
    async with asyncio.timeout(60), kind(url) as conn, WebSocketConnection(lab.ws_url) as reader:
        await conn.join_room("r")
        await reader.join_room("r")
        stream = aiter(reader)
        async with MessageBatcher(conn, batch_size=7, flush_interval=0.005) as batcher:
            receipts = [await batcher.send("note", n, room_id="r") for n in range(100)]
        offsets = [(await receipt.acked())["offset"] for receipt in receipts]
        assert offsets == sorted(offsets)
        assert batcher.stats.batches == 15
        got: list[int] = []
        while len(got) < 100:
            message = await anext(stream)
            got += [message.payload] if message.type == "note" else []
        assert got == list(range(100))


async def test_a_cut_in_mid_batch_is_said_and_later_batches_go_through(lab):
    async with asyncio.timeout(60), WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.01)) as conn:
        async with MessageBatcher(conn, window=FixedTick(interval=0.01), answer_timeout=2) as batcher:
            await lab.faults.blackhole()
            lost = [await batcher.send("echo", n) for n in range(3)]
            while batcher.stats.collected:
                await asyncio.sleep(0.005)
            await lab.faults.restore()
            await lab.faults.cut()
            for receipt in lost:
                with pytest.raises((NotConnected, TimeoutError)):
                    await receipt.acked(5)
            await conn.connect()
            after = await batcher.send("echo", "after")
            assert (await after.acked(5))["ok"] is True
        assert (batcher.stats.unknown, batcher.stats.handled) == (3, 1)


# A second asyncio.run


def carried(kind, first, second, **options):
    """Run `first` and `second` with one batcher, each on a loop of its own; return it and the servers."""
    servers = [Server(kind), Server(kind)]
    conn = Connection(Factory(*(server.transport for server in servers)))
    batcher = MessageBatcher(conn, **options)

    async def run(work, server):
        async with asyncio.timeout(10):
            await conn.connect()
            await work(batcher, server)

    asyncio.run(run(first, servers[0]))
    asyncio.run(run(second, servers[1]))
    return batcher, servers


KINDS = pytest.mark.parametrize("kind", [MemoryTransport, AtOnce])


@KINDS
def test_what_was_collected_on_a_former_loop_leaves_in_time_on_the_next(kind):
    async def first(batcher, server):
        await batcher.send("note", 1)
        batcher._timer.cancel()  # a loop that ends a moment later never fires it

    async def second(batcher, server):
        await (await batcher.send("note", 2)).acked(5)
        await batcher.close()

    batcher, servers = carried(kind, first, second, batch_size=10, flush_interval=0.02)
    assert servers[1].batches == [[1, 2]]
    assert batcher.stats.handled == 2


@KINDS
def test_senders_wait_in_line_on_a_second_loop_too(kind):
    receipts = []

    async def send(batcher, numbers):
        receipts.extend(await asyncio.gather(*(batcher.send("note", n) for n in numbers)))

    async def first(batcher, server):
        server.silent = True
        await send(batcher, range(4))
        waiting = asyncio.ensure_future(send(batcher, range(10, 13)))
        with pytest.raises(TimeoutError):
            await receipts[0].acked(0.01)
        assert not waiting.done()

    async def second(batcher, server):
        await send(batcher, range(20, 30))
        await batcher.close()
        with pytest.raises(NotConnected):
            await receipts[0].acked(1)

    _, servers = carried(kind, first, second, batch_size=2, max_in_flight=4)
    assert [batch for server in servers for batch in server.batches] == [
        *([n, n + 1] for n in (0, 2, 20, 22, 24, 26, 28))
    ]
    assert [receipt.outcome for receipt in receipts] == ["unknown"] * 4 + ["handled"] * 10


def test_a_batch_that_a_closed_loop_left_without_an_answer_is_unknown():
    servers = [Server(AtOnce), Server(AtOnce)]
    servers[0].silent = True
    conn = Connection(Factory(*(server.transport for server in servers)))
    batcher = MessageBatcher(conn, batch_size=2, max_in_flight=2)

    async def send():
        await conn.connect()
        return [await batcher.send("note", n) for n in range(2)]

    loop = asyncio.new_event_loop()
    receipts = loop.run_until_complete(send())
    pending = asyncio.all_tasks(loop)
    loop.close()

    async def again():
        async with asyncio.timeout(10):
            receipts.extend(await send())
            await batcher.close()
            await conn.close()

    asyncio.run(again())
    assert [receipt.outcome for receipt in receipts] == ["unknown"] * 2 + ["handled"] * 2
    for task in pending:  # else their destruction is a warning
        task._log_destroy_pending = False


@pytest.mark.parametrize("end", ["flush", "close"])
@pytest.mark.parametrize("begun", [True, False])
@KINDS
def test_a_batch_that_a_closed_loop_left_keeps_no_flush_waiting(kind, begun, end):
    servers = [Server(kind), Server(kind)]
    servers[0].silent = True
    conn = Connection(Factory(*(server.transport for server in servers)))
    batcher = MessageBatcher(conn, batch_size=2)
    receipts = []

    async def send():
        await conn.connect()
        receipts.extend([await batcher.send("note", n) for n in range(1 + begun)])

    def leave_and_stop():
        batcher._leave(0.0)
        loop.stop()  # before a task that writes begins

    loop = asyncio.new_event_loop()
    loop.run_until_complete(send())
    if not begun:
        loop.call_soon(leave_and_stop)
        loop.run_forever()
    pending = asyncio.all_tasks(loop)
    loop.close()

    async def again():
        async with asyncio.timeout(5):
            await getattr(batcher, end)()
            await conn.connect()
            await conn.close()

    asyncio.run(again())
    assert {receipt.outcome for receipt in receipts} == {"unknown"}
    assert batcher.stats.in_flight == 0
    assert not batcher._not_begun
    for task in pending:  # else their destruction is a warning
        task._log_destroy_pending = False
        with contextlib.suppress(RuntimeError):  # "Event loop is closed", from a queue's waiting reader
            task.get_coro().close()
