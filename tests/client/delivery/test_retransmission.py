"""Acknowledged sending: in memory where an answer can be withheld, and over a real server with faults."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest
import pytest_asyncio

from rtlab.client.connection import Connection
from rtlab.client.delivery import retransmission
from rtlab.client.delivery.outbox_identity import OutboxIdentity
from rtlab.client.delivery.parcel import Parcel
from rtlab.client.delivery.retransmission import PER_FRAME, Retransmission
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import (
    InvalidState,
    MessageError,
    MessageTooLarge,
    NotConnected,
    RequestRefused,
    TransportClosed,
)
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Constant
from rtlab.processes.owned_tasks import OwnedTasks
from rtlab.protocol.http_status_and_retry_after import MAX_RETRY_AFTER
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, turns, until, welcome

ONCE = "effectively_once"


class Server:
    """Answers the items of batches as told: one function makes each result."""

    def __init__(self, result=lambda item: {"ok": True, "id": item.get("id")}) -> None:
        self.result = result
        self.silent = False
        self.frames: list[list[dict]] = []

    def transport(self, session="s1"):
        box = {}

        def take(message):
            self.frames.append(message.payload)
            if self.silent or message.type != "batch":
                return
            results = [self.result(item) for item in message.payload]
            box["t"].push(Message("ack", {"results": results}, id=message.id))

        box["t"] = MemoryTransport(welcome=welcome(session, limit=100_000), on_send=take)
        return box["t"]

    def seqs(self):
        return [[item.get("seq") for item in frame] for frame in self.frames]


def spawning(tasks):
    """Return a `spawn` that keeps the tasks in a list."""

    def spawn(work):
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    return spawn


def refused(code, **fields):
    return {"ok": False, "error": {"code": code, "message": code, **fields}}


async def test_messages_of_one_turn_share_a_frame_behind_the_opening():
    server = Server()
    async with Connection(Factory(server.transport())) as conn:
        receipts = [await conn.send("chat", n, room_id="r", delivery=ONCE) for n in range(3)]
        assert [(await receipt.acked(5))["ok"] for receipt in receipts] == [True] * 3
        await (await conn.send("chat", 3, room_id="r", delivery=ONCE)).acked(5)
    assert server.seqs() == [[None, 1, 2, 3], [4]]
    opening = server.frames[0][0]
    assert (opening["type"], opening["payload"]["stream"], opening["payload"]["base"]) == (
        "outbox",
        "outbox",
        1,
    )
    assert {item["stream"] for item in server.frames[0][1:]} == {"outbox"}


async def test_what_has_no_answer_goes_again_over_the_next_connection():
    server = Server()
    server.silent = True
    first, second = server.transport(), server.transport("s2")
    async with Connection(Factory(first, second), backoff=FAST) as conn:
        receipt = await conn.send("chat", 1, room_id="r", delivery=ONCE)
        await until(lambda: server.frames)
        server.silent = False
        first.drop()
        await receipt.acked(5)
    assert server.seqs() == [[None, 1], [None, 1]]
    assert server.frames[0][1]["id"] == server.frames[1][1]["id"]


async def test_sent_before_there_is_a_connection():
    server = Server()
    conn = Connection(Factory(server.transport()))
    receipt = await conn.send("chat", 1, room_id="r", delivery="at_least_once")
    async with conn:
        await receipt.acked(5)
    assert server.seqs() == [[None]]  # no number: the server handles each that comes
    assert "stream" not in server.frames[0][0]


async def test_a_gap_lets_everything_from_the_oldest_on_go_again():
    lost = {2}

    def result(item):
        seq = item.get("seq")
        if seq is not None and seq >= 2 and lost:
            if seq == 3:
                lost.clear()
            return refused("gap", expected=2)
        return {"ok": True}

    server = Server(result)
    async with Connection(Factory(server.transport())) as conn:
        receipts = [await conn.send("chat", n, room_id="r", delivery=ONCE) for n in range(3)]
        for receipt in receipts:
            await receipt.acked(5)
    assert server.seqs() == [[None, 1, 2, 3], [None, 2, 3]]
    assert server.frames[1][0]["payload"]["base"] == 2


async def test_no_more_than_the_window_is_under_way():
    server = Server()
    server.silent = True
    conn = Connection(Factory(server.transport()), delivery_window=5)
    async with conn:
        receipts = [await conn.send("chat", n, room_id="r", delivery=ONCE) for n in range(12)]
        await turns()
        assert server.seqs() == [[None, 1, 2, 3, 4, 5]]
    assert {receipt.outcome for receipt in receipts} == {"unknown"}
    with pytest.raises(NotConnected, match="before the server had answered"):
        await receipts[-1].acked(1)


async def test_a_missing_answer_lets_a_frame_go_again():
    server = Server()
    server.silent = True
    async with Connection(Factory(server.transport()), request_timeout=0.05) as conn:
        receipt = await conn.send("chat", 1, room_id="r", delivery=ONCE)
        await until(lambda: server.frames)
        server.silent = False
        await receipt.acked(5)
    assert server.seqs()[-1] == [None, 1]


async def test_a_refusal_is_the_messages_own():
    server = Server(lambda item: refused("not_joined") if item.get("payload") == "bad" else {"ok": True})
    async with Connection(Factory(server.transport())) as conn:
        conn.on("error", lambda event: None)
        bad = await conn.send("chat", "bad", room_id="r", delivery=ONCE)
        good = await conn.send("chat", "good", room_id="r", delivery=ONCE)
        with pytest.raises(RequestRefused) as caught:
            await bad.acked(5)
        await good.acked(5)
    assert (caught.value.code, bad.outcome, good.outcome) == ("not_joined", "refused", "handled")
    assert [message.payload for message, _ in conn.dead_letters] == ["bad"]


async def test_what_may_be_tried_again_is_after_a_pause():
    temporary = [refused("not_published"), refused("blocked"), refused("busy")]
    answers = [refused("rate_limited", retryAfter=0.01), *temporary, {"ok": True}]
    server = Server(lambda item: answers.pop(0) if item["type"] == "chat" else {"ok": True})
    async with Connection(Factory(server.transport())) as conn:
        await (await conn.send("chat", 1, room_id="r", delivery=ONCE)).acked(5)
    assert len(server.frames) == 5


@pytest.mark.parametrize("frame_refused", [True, False])
@pytest.mark.parametrize(("hint", "least"), [(None, 0.1), (0, 0.1), (-1, 0.1), (30, 30)])
async def test_a_hint_of_zero_does_not_let_the_client_retransmit_without_a_pause(hint, least, frame_refused):
    error = refused("rate_limited", retryAfter=hint)
    asked = []

    async def request(items, timeout):
        asked.append(items)
        if frame_refused:
            raise RequestRefused("later", "rate_limited", retry_after=hint)
        return Message("ack", {"results": [error] * len(items)})

    tasks = []
    delivery = Retransmission(
        request,
        spawning(tasks),
        lambda: 100_000,
        identity=None,
        window=8,
        answer_timeout=5.0,
    )
    begin = asyncio.get_running_loop().time()
    delivery.opened()
    delivery.put(*(Parcel(Message("chat", n), 40, lambda result, error: None) for n in range(2)))
    await until(lambda: asked)
    await asyncio.gather(*tasks)
    assert delivery._pause.when() >= begin + least
    delivery.end(NotConnected("the end"))


async def test_a_frame_that_is_lost_while_the_connection_stays_goes_again():
    """As when a connection moves to another transport and drops a write that took too long."""
    asked = []

    async def request(items, timeout):
        asked.append([item["type"] for item in items])
        if len(asked) == 1:
            raise NotConnected("lost in a move")
        return Message("ack", {"results": [{"ok": True}] * len(items)})

    owned, results = OwnedTasks(), []
    delivery = Retransmission(
        request,
        owned.spawn,
        lambda: 100_000,
        identity=OutboxIdentity(stream="s", history="h", token="t"),
        window=8,
        answer_timeout=5.0,
    )
    delivery.opened()
    delivery.put(Parcel(Message("chat", 1), 40, lambda result, error: results.append(result), 1))
    await until(lambda: results)
    assert (results, asked) == ([{"ok": True}], [["outbox", "chat"]] * 2)
    assert not delivery._frames


async def test_a_write_that_a_connection_drops_without_being_lost_is_repeated():
    server = Server()
    transport = server.transport()
    send = transport.send

    async def dropped(message):
        transport.send = send
        raise TransportClosed(1006, "lost in a move between transports")

    async with asyncio.timeout(10), Connection(Factory(transport)) as conn:
        transport.send = dropped
        receipt = await conn.send("chat", 1, room_id="r", delivery="at_least_once")
        assert (await receipt.acked())["ok"]
        assert conn.stats.disconnects == 0


async def test_an_error_that_comes_before_its_loss_is_told_delays_nothing_on_the_next_connection(monkeypatch):
    monkeypatch.setattr(retransmission, "_PAUSE", 3600.0)
    asked = []

    async def request(items, timeout):
        asked.append(items)
        if len(asked) == 1:
            raise NotConnected("the connection ended before the message was sent")
        return Message("ack", {"results": [{"ok": True}] * len(items)})

    owned, results = OwnedTasks(), []
    delivery = Retransmission(
        request, owned.spawn, lambda: 100_000, identity=None, window=8, answer_timeout=5.0
    )
    delivery.opened()
    delivery.put(Parcel(Message("chat", 1), 40, lambda result, error: results.append(result)))
    await until(lambda: asked and not owned.running)
    assert delivery._pause is not None
    delivery.lost()
    delivery.opened()
    await until(lambda: results)
    assert len(asked) == 2


class Empty(Exception):
    """Is false."""

    def __len__(self):
        return 0


@pytest.mark.parametrize("error", [ZeroDivisionError, Empty])
async def test_a_frame_whose_task_raised_goes_again(error):
    asked = []

    async def request(items, timeout):
        asked.append(items)
        if len(asked) == 1:
            raise error
        return Message("ack", {"results": [{"ok": True}]})

    owned, results = OwnedTasks(), []
    delivery = Retransmission(
        request, owned.spawn, lambda: 100_000, identity=None, window=8, answer_timeout=5.0
    )
    delivery.opened()
    delivery.put(Parcel(Message("chat", 1), 40, lambda result, error: results.append(result)))
    await until(lambda: results)
    assert (results, len(asked)) == ([{"ok": True}], 2)


async def test_a_message_whose_frame_raises_each_time_is_given_up_and_stops_no_other(monkeypatch, caplog):
    monkeypatch.setattr(retransmission, "_PAUSE", 0.0005)
    frames = []

    async def request(items, timeout):
        frames.append([item["payload"] for item in items])
        if "bad" in frames[-1]:
            raise ZeroDivisionError
        return Message("ack", {"results": [{"ok": True}] * len(items)})

    owned, results = OwnedTasks(), {}
    delivery = Retransmission(
        request, owned.spawn, lambda: 100_000, identity=None, window=64, answer_timeout=5.0
    )
    delivery.opened()
    payloads = [*range(3), "bad", *range(3, 12)]
    for payload in payloads:
        settle = partial(lambda payload, result, error: results.update({payload: error}), payload)
        delivery.put(Parcel(Message("chat", payload), 40, settle))
    await until(lambda: len(results) == len(payloads))
    assert isinstance(results.pop("bad"), ZeroDivisionError)
    assert set(results.values()) == {None}
    assert frames.count(["bad"]) == retransmission._MAX_FAULTS + 1
    assert "raised ZeroDivisionError" in caplog.text


async def test_an_interrupt_while_a_message_is_given_up_stops_no_other():
    async def request(items, timeout):
        if items[0]["payload"] == "bad":
            await asyncio.Event().wait()
        return Message("ack", {"results": [{"ok": True}]})

    def interrupted(result, error):
        raise KeyboardInterrupt

    tasks, results = [], []
    delivery = Retransmission(
        request, spawning(tasks), lambda: 100_000, identity=None, window=1, answer_timeout=5.0
    )
    delivery.opened()
    bad = Parcel(Message("chat", "bad"), 40, interrupted)
    bad.faults = retransmission._MAX_FAULTS
    delivery.put(bad, Parcel(Message("chat", "good"), 40, lambda result, error: results.append(result)))
    await until(lambda: tasks)
    raised = asyncio.get_running_loop().create_future()
    raised.set_exception(ZeroDivisionError())
    with pytest.raises(KeyboardInterrupt):
        delivery._frame_ended([bad], delivery._generation, raised)
    await until(lambda: results)
    assert results == [{"ok": True}]
    tasks[0].cancel()
    await asyncio.wait(tasks)


async def test_an_interrupt_while_a_message_too_large_is_refused_loses_none_before_it():
    async def request(items, timeout):
        sent.append([item["payload"] for item in items])
        return Message("ack", {"results": [{"ok": True}] * len(items)})

    def interrupted(result, error):
        raise KeyboardInterrupt

    owned, sent, results = OwnedTasks(), [], []
    delivery = Retransmission(request, owned.spawn, lambda: 1000, identity=None, window=8, answer_timeout=5.0)
    delivery.opened()
    good = Parcel(Message("chat", "good"), 40, lambda result, error: results.append(result))
    delivery.put(good, Parcel(Message("chat", "large"), 2000, interrupted))
    with pytest.raises(KeyboardInterrupt):
        delivery._pump()
    await until(lambda: results)
    assert sent == [["good"]]
    await asyncio.gather(*owned.running)


async def test_late_answers_of_a_backlog_do_not_put_the_others_into_the_bad_messages_frame_again(monkeypatch):
    monkeypatch.setattr(retransmission, "_PAUSE", 0.0005)
    bad = []

    async def request(items, timeout):
        payloads = [item["payload"] for item in items]
        if "bad" in payloads:
            bad.append(len(items))
            raise ZeroDivisionError
        await asyncio.sleep(0.0005)
        return Message("ack", {"results": [{"ok": True}] * len(items)})

    owned, results = OwnedTasks(), []
    delivery = Retransmission(
        request, owned.spawn, lambda: 100_000, identity=None, window=256, answer_timeout=5.0
    )
    delivery.opened()
    for payload in [*range(100), "bad", *range(100, 1000)]:
        delivery.put(Parcel(Message("chat", payload), 40, lambda result, error: results.append(error)))
    await until(lambda: len(results) == 1001)
    assert bad == [PER_FRAME, PER_FRAME // 8] + [1] * (retransmission._MAX_FAULTS + 1)


async def test_a_stored_message_that_cannot_be_decoded_is_refused_and_stops_no_other():
    async def request(items, timeout):
        return Message("ack", {"results": [{"ok": True}] * len(items)})

    owned, results = OwnedTasks(), []
    delivery = Retransmission(
        request, owned.spawn, lambda: 100_000, identity=None, window=8, answer_timeout=5.0
    )
    delivery.opened()
    for data in (b"{damaged", b'{"type":"chat"}'):
        delivery.put(Parcel(data, 40, lambda result, error: results.append((result, type(error)))))
    await until(lambda: len(results) == 2)
    assert results == [({}, MessageError), ({"ok": True}, type(None))]


@pytest.mark.parametrize("hint", [1e15, 1e300])
async def test_a_hint_without_bound_does_not_stop_the_outbox_for_good(hint):
    """It counts as one day, and for this connection only: the next may lead to another server."""
    server = Server(lambda item: refused("rate_limited", retryAfter=hint))
    first, second = transports = [server.transport("s1"), server.transport("s2")]
    conn = Connection(Factory(*transports), backoff=FAST)
    async with asyncio.timeout(10):
        await conn.connect()
        receipt = await conn.send("chat", 1, room_id="r", delivery="at_least_once")
        delivery = conn._acknowledged._deliveries["at_least_once"]
        await until(lambda: delivery._pause is not None)
        assert delivery._pause.when() <= asyncio.get_running_loop().time() + MAX_RETRY_AFTER
        server.result = lambda item: {"ok": True, "id": item["id"]}
        first.drop()
        await receipt.acked(8)
        assert [message.type for message in second.sent] == ["batch"]
        await conn.close()


async def test_only_a_parcel_that_was_never_sent_is_withdrawn():
    async def request(items, timeout):
        busy = refused("rate_limited", retryAfter=3600)
        return Message("ack", {"results": [busy, {"ok": True}]})

    tasks = []
    delivery = Retransmission(
        request,
        spawning(tasks),
        lambda: 100_000,
        identity=None,
        window=3,
        answer_timeout=5.0,
    )
    # The first is to be sent again, the second was too large, the third has its result.
    sizes = [40, 200_000, 40, 40]
    parcels = [
        Parcel(Message("chat", n), size, lambda result, error: None, came=float(n))
        for n, size in enumerate(sizes)
    ]
    delivery.put(*parcels)
    delivery.opened()
    await until(lambda: tasks)
    await asyncio.gather(*tasks)
    assert delivery.in_flight == 0
    assert delivery.withdraw(before=3.0) is None
    assert delivery.withdraw() is parcels[3]
    assert delivery.withdraw() is None
    delivery.end(NotConnected("the end"))


async def test_a_newer_process_of_the_same_client_ends_this_ones_sends():
    server = Server(lambda item: refused("fenced") if item["type"] == "outbox" else refused("not_opened"))
    async with Connection(Factory(server.transport())) as conn:
        conn.on("error", lambda event: None)
        receipts = [await conn.send("chat", n, room_id="r", delivery=ONCE) for n in range(2)]
        for receipt in receipts:
            with pytest.raises(RequestRefused) as caught:
                await receipt.acked(5)
            assert caught.value.code == "fenced"
        with pytest.raises(RequestRefused):
            await conn.send("chat", 3, room_id="r", delivery=ONCE)
    assert len(server.frames) == 1


@pytest.mark.parametrize(
    ("type", "payload", "error"),
    [
        ("chat", float("nan"), MessageError),
        ("chat", {1: 2}, MessageError),
        ("join_room", {"roomId": "r"}, MessageError),
        ("chat", "x" * 2_000_000, MessageTooLarge),
    ],
)
async def test_what_nobody_could_take_is_refused_at_once(type, payload, error):
    conn = Connection(Factory())
    with pytest.raises(error):
        await conn.send(type, payload, room_id="r", delivery=ONCE)


@pytest.mark.parametrize("payload", [{"text": "said"}, ["said"], ({"deep": ["said"]},)])
async def test_what_was_said_is_sent_whatever_its_payload_becomes(payload):
    server, said = Server(), msgspec.json.decode(msgspec.json.encode(payload))
    conn = Connection(Factory(server.transport()))
    receipt = await conn.send("chat", payload, room_id="r", delivery=ONCE)
    inner = payload[0] if isinstance(payload, tuple) else payload
    inner.clear()
    async with conn:
        await receipt.acked(5)
    assert server.frames[0][1]["payload"] == said


async def test_full_frames_leave_while_their_sender_sends_on():
    server = Server()
    async with Connection(Factory(server.transport())) as conn:
        for n in range(2 * PER_FRAME):
            await conn.send("chat", n, room_id="r", delivery=ONCE)
        assert len(server.frames) >= 1


async def test_a_message_for_which_the_server_has_no_room_does_not_stop_the_next():
    server = Server()
    conn = Connection(Factory(server.transport()))  # its welcome says 100,000 bytes
    conn.on("error", lambda event: None)
    large = await conn.send("chat", "x" * 120_000, room_id="r", delivery=ONCE)
    small = await conn.send("chat", "y", room_id="r", delivery=ONCE)
    async with conn:
        with pytest.raises(MessageTooLarge):
            await large.acked(5)
        await small.acked(5)
    assert server.frames[0][0]["payload"]["base"] == 2  # the server need not wait for the first


async def test_the_wait_for_an_answer_grows_on_a_path_that_is_slower_and_shrinks_with_it():
    """With a wait that stays, each answer would come too late, and each repeat make it later, for ever."""
    waits: list[float] = []
    settled = asyncio.Event()

    async def request(items: list[dict], timeout: float) -> Message:
        waits.append(timeout)
        if timeout < 0.8:
            raise TimeoutError  # the answer is still on its way, and nobody will know what it answers
        return Message("ack", {"results": [{"ok": True}] * len(items)})

    tasks: list[asyncio.Task[None]] = []
    delivery = Retransmission(
        request,
        spawning(tasks),
        lambda: 100_000,
        identity=None,
        window=8,
        answer_timeout=0.2,
        progress=settled.set,
    )
    delivery.opened()
    for expected in ([0.2, 0.4, 0.8], [0.2, 0.4, 0.8] * 2):
        settled.clear()
        delivery.put(Parcel(Message("chat", 1, id="a"), 40, lambda result, error: None))
        async with asyncio.timeout(30):
            await settled.wait()
        # It was answered at once, so the next wait is the one that was asked for again.
        assert waits == expected
    delivery.end(NotConnected("the end"))
    await asyncio.gather(*tasks)


async def test_the_words_for_delivery_are_three():
    conn = Connection(Factory(Server().transport()))
    with pytest.raises(ValueError, match="at_most_once"):
        await conn.send("chat", delivery="exactly_once")
    with pytest.raises(ValueError, match="delivery_window"):
        Connection(Factory(), delivery_window=0)
    async with conn:
        receipt = await conn.send("chat")
        with pytest.raises(InvalidState, match="at_least_once"):
            await receipt.acked()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab():
    async with Lab(faults=True) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_through_cuts_each_is_handled_once_and_in_order(lab):
    got = []
    async with (
        asyncio.timeout(30),
        WebSocketConnection(lab.ws_url + "?user=bob") as bob,
        WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.01)) as ada,
    ):
        bob.on("chat", lambda message: got.append(message.payload))
        await bob.join_room("r")
        await ada.join_room("r")
        receipts = []
        for n in range(300):
            receipts.append(await ada.send("chat", n, room_id="r", delivery=ONCE))
            if n % 100 == 50:
                await asyncio.sleep(0.005)
                await lab.faults.cut()
        for receipt in receipts:
            await receipt.acked(20)
        await bob.ping()
        await until(lambda: len(got) >= 300)
    assert got == list(range(300))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_second_connection_of_the_same_client_takes_the_outbox_over(lab):
    url = lab.ws_url
    async with (
        asyncio.timeout(30),
        WebSocketConnection(url, client_id="ada") as old,
        WebSocketConnection(url, client_id="ada") as new,
    ):
        old.on("error", lambda event: None)
        for conn in (old, new):
            await conn.join_room("z")
            await (await conn.send("chat", 1, room_id="z", delivery=ONCE)).acked(5)
        zombie = await old.send("chat", 2, room_id="z", delivery=ONCE)
        with pytest.raises(RequestRefused) as caught:
            await zombie.acked(5)
        assert caught.value.code == "fenced"
    async with WebSocketConnection(url + "?user=eve", client_id="ada") as eve:
        eve.on("error", lambda event: None)
        receipt = await eve.send("chat", 1, room_id="z", delivery=ONCE)
        with pytest.raises(RequestRefused) as caught:
            await receipt.acked(5)
        assert caught.value.code == "wrong_user"
