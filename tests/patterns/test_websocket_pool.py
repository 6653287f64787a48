"""WebSocketPool against real servers: choice, order, a member that dies and comes back."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest

from rtlab.client.connection import Connection
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed, NotConnected
from rtlab.lab.lab import Lab
from rtlab.patterns.websocket_pool import WebSocketPool
from rtlab.policies.backoff import Constant
from rtlab.policies.reorder_buffer import ReorderBuffer
from rtlab.policies.round_robin_or_least_busy_choice import HashByKey, LeastBusy
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import turns, welcome

FAST = {"backoff": Constant(0.02)}


@pytest.fixture
async def lab():
    async with Lab(faults=True) as running:
        yield running


async def test_round_robin_spreads_evenly_and_broadcast_reaches_all(lab):
    async with asyncio.timeout(30), WebSocketPool([lab.ws_url] * 3) as pool:
        answers = [await pool.request("echo", n) for n in range(9)]
        assert [answer.payload for answer in answers] == list(range(9))
        assert [member.sent for member in pool.stats] == [3, 3, 3]
        assert await pool.broadcast("echo", 1) == {"0": None, "1": None, "2": None}
        assert repr(pool) == "<WebSocketPool 3 of 3 connected>"


async def test_the_least_busy_member_is_spared_what_takes_long(lab):
    """One member's path is slow: it gets fewer, where round robin gives it a half."""
    shares = {}
    for choose in (None, LeastBusy()):
        slow = WebSocketConnection(lab.faults.ws_url, **FAST)
        quick = WebSocketConnection(lab.ws_url, **FAST)
        async with asyncio.timeout(30), WebSocketPool([slow, quick], choose=choose) as pool:
            await lab.faults.latency(100)
            todo = iter(range(40))

            async def worker(pool=pool, todo=todo):
                for n in todo:
                    await pool.request("echo", n)

            await asyncio.gather(*(worker() for _ in range(4)))
            shares[choose] = pool.stats[0].sent
            await lab.faults.restore()
    spared, even = shares[LeastBusy()], shares[None]
    assert even == 20
    assert spared < 15


async def send_numbered(lab, choose, key):
    """What a room's member receives when numbered messages go over a slow and a quick member."""
    slow = WebSocketConnection(lab.faults.ws_url, **FAST)
    quick = WebSocketConnection(lab.ws_url, **FAST)
    async with (
        asyncio.timeout(30),
        WebSocketConnection(lab.ws_url) as reader,
        WebSocketPool([slow, quick], choose=choose) as pool,
    ):
        for conn in (reader, *pool.connections):
            await conn.join_room("r")
        stream = aiter(reader)
        await lab.faults.latency(500, stream="upstream")  # more than a busy machine delays the quick one
        for n in range(20):
            await pool.send("n", n, key=key(n), room_id="r")
        got: list[int] = []
        while len(got) < 20:
            message = await anext(stream)
            got += [message.payload] if message.type == "n" else []
        await lab.faults.restore()
        return got


async def test_round_robin_reorders_a_hash_keeps_each_keys_order_and_a_buffer_repairs_all(lab):
    mixed = await send_numbered(lab, None, lambda n: None)
    assert mixed != sorted(mixed)
    keyed = await send_numbered(lab, HashByKey(), lambda n: f"key{n % 4}")
    for key in range(4):
        of_key = [n for n in keyed if n % 4 == key]
        assert of_key == sorted(of_key)
    buffer: ReorderBuffer[int] = ReorderBuffer(max_items=20, max_wait=10)
    assert [n for number in mixed for n in buffer.add(number, number, 0.0).items] == list(range(20))


async def test_a_lost_member_is_passed_over_and_comes_back(lab):
    lost = WebSocketConnection(lab.faults.ws_url, **FAST)
    async with asyncio.timeout(30), WebSocketPool([lost, lab.ws_url]) as pool:
        back = asyncio.Event()
        lost.on("connected", lambda event: back.set())
        back.clear()
        await lab.faults.down()
        while pool.stats[0].state == "Connected":
            await asyncio.sleep(0.005)
        names = Counter([await pool.send("echo", n) for n in range(6)])
        assert names == {"1": 6}
        outcome = await pool.broadcast("echo", 1)
        assert isinstance(outcome["0"], NotConnected)
        assert outcome["1"] is None
        await lab.faults.restore()
        await back.wait()
        assert Counter([await pool.send("echo", n) for n in range(6)]) == {"0": 3, "1": 3}


async def test_a_hash_moves_only_the_lost_members_keys(lab):
    lost = WebSocketConnection(lab.faults.ws_url, **FAST)
    async with asyncio.timeout(30), WebSocketPool([lost, lab.ws_url, lab.ws_url], choose=HashByKey()) as pool:
        keys = [f"k{n}" for n in range(30)]
        before = {key: await pool.send("echo", key, key=key) for key in keys}
        await lost.close()
        after = {key: await pool.send("echo", key, key=key) for key in keys}
        assert {key for key in keys if before[key] != after[key]} == {k for k in keys if before[k] == "0"}
        assert "0" in before.values()


async def test_nobody_is_connected(lab):
    pool = WebSocketPool([lab.ws_url, lab.ws_url])
    with pytest.raises(NotConnected, match="Disconnected, Disconnected"):
        await pool.send("echo", 1)
    assert {type(error) for error in (await pool.broadcast("echo")).values()} == {NotConnected}
    await pool.close()


async def test_enough_members_are_enough_and_the_others_go_on_trying(lab):
    await lab.faults.down()
    late = WebSocketConnection(lab.faults.ws_url, retry_initial=True, **FAST)
    pool = WebSocketPool([late, lab.ws_url])
    async with asyncio.timeout(30):
        await pool.connect(at_least=1)
        assert [member.state for member in pool.stats][1] == "Connected"
        await lab.faults.restore()
        while pool.stats[0].state != "Connected":
            await asyncio.sleep(0.01)
        await pool.close()
    assert {member.state for member in pool.stats} == {"Closed"}


async def test_a_member_that_fails_in_the_same_turn_does_not_hide_one_that_connects():
    """`asyncio.wait` returns both in a set without an order: in 40 pools, both orders come."""
    no = ConnectFailed("the server answered 403", status=403, retryable=False)
    for _ in range(40):
        good = Connection(lambda: MemoryTransport(welcome=welcome()))
        bad = Connection(lambda: MemoryTransport(fail=no))
        pool = WebSocketPool([good, bad])
        async with asyncio.timeout(10):
            await pool.connect(at_least=1)
            assert pool.stats[0].state == "Connected"
            await pool.close()


async def test_who_waits_for_a_pool_that_another_closes_gets_its_error_not_a_cancellation():
    pool = WebSocketPool([Connection(lambda: MemoryTransport(gate=asyncio.Event())) for _ in range(2)])
    connecting = asyncio.create_task(pool.connect())
    await turns()
    async with asyncio.timeout(10):
        await pool.close()
        with pytest.raises(ConnectFailed, match=r"2 of 2 members .*: the pool was closed"):
            await connecting


async def test_a_connect_that_fails_ends_another_with_an_error_not_a_cancellation():
    """It closes the members, so the other call fails too."""
    no = ConnectFailed("the server answered 403", status=403, retryable=False)
    never = Connection(lambda: MemoryTransport(gate=asyncio.Event()))
    pool = WebSocketPool([never, Connection(lambda: MemoryTransport(fail=no))])
    patient = asyncio.create_task(pool.connect(at_least=1))
    async with asyncio.timeout(10):
        with pytest.raises(ConnectFailed, match=r"2 of 2 members .*403"):
            await pool.connect()
        with pytest.raises(ConnectFailed, match="1 of 2 members"):
            await patient
    assert {member.state for member in pool.stats} == {"Closed"}
    assert not pool._connecting.here.running


async def test_connecting_again_and_again_keeps_no_ended_tasks():
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    no = ConnectFailed("the server answered 403", status=403, retryable=False)
    good, bad = (
        Connection(lambda: MemoryTransport(welcome=welcome())),
        Connection(lambda: MemoryTransport(fail=no)),
    )
    pool = WebSocketPool([good, bad])
    async with asyncio.timeout(10):
        for _ in range(3):
            await pool.connect(at_least=1)
            await turns()
            assert not pool._connecting.here.running
        await pool.close()
    gc.collect()  # an error that nobody asked for is told when its task is collected
    assert problems == []


@pytest.mark.parametrize("again", [True, False], ids=["connected again", "only closed"])
def test_a_pool_may_be_carried_to_a_second_loop(again):
    """Also if the first loop ended while a member was still trying."""
    gates = [asyncio.Event(), asyncio.Event()]

    def transport():
        return MemoryTransport(welcome=welcome(), gate=gates.pop() if gates else None)

    pool = WebSocketPool([Connection(lambda: MemoryTransport(welcome=welcome())), Connection(transport)])

    async def first():
        await pool.connect(at_least=1)

    asyncio.run(first())

    async def second():
        async with asyncio.timeout(10):
            if again:
                gates.clear()
                await pool.connect()
                assert [member.state for member in pool.stats] == ["Connected"] * 2
            await pool.close()

    asyncio.run(second())
    assert {member.state for member in pool.stats} == {"Closed"}


async def test_too_few_members_close_all_and_say_why(lab):
    pool = WebSocketPool(["ws://127.0.0.1:9/ws", lab.ws_url], **FAST)
    async with asyncio.timeout(30):
        with pytest.raises(ConnectFailed, match="2 of 2 members"):
            await pool.connect(timeout=0.5)
    assert {member.state for member in pool.stats} == {"Closed"}


async def test_a_member_that_is_refused_for_good_ends_the_wait_at_once(lab):
    wrong = WebSocketConnection(lab.ws_url.replace("/ws", "/nothing"))
    async with asyncio.timeout(10):
        with pytest.raises(ConnectFailed, match="404"):
            await WebSocketPool([wrong, lab.ws_url]).connect(timeout=60)


async def test_members_may_use_any_transport(lab):
    async with asyncio.timeout(30), WebSocketPool([ServerSentEvents(lab.url), lab.ws_url]) as pool:
        got: list[object] = []
        pool.on("echo", lambda message: got.append(message.payload))
        for n in range(4):
            await pool.request("echo", n)
        assert sorted(got) == [0, 1, 2, 3]
        pool.off("echo")
        await pool.request("echo", 5)
        assert len(got) == 4


@pytest.mark.parametrize("members", [[], "ws://127.0.0.1:1/ws"])
async def test_a_pool_needs_a_list_of_members(members):
    with pytest.raises(ValueError, match="at least one"):
        WebSocketPool(members)


async def test_at_least_is_a_number_of_members(lab):
    for wrong in (0, 3):
        with pytest.raises(ValueError, match="from 1 to 2"):
            await WebSocketPool([lab.ws_url] * 2).connect(at_least=wrong)
