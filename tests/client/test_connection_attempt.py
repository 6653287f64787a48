"""One attempt: its breaker, its opening, its heartbeat, and the way back to the rooms."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.client.connection import Connection, State
from rtlab.errors import ConnectFailed
from rtlab.policies.backoff import Constant
from rtlab.policies.circuit_breaker import Breaker, Circuit
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping, Watchdog
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from rtlab.testing.mock.mock_script_steps import PeerScript
from tests.memory import Calling, Factory, leftovers, turns, until, welcome


def test_a_silent_server_is_given_up(fake_clock, mock_websocket):
    async def main():
        conn = mock_websocket.connection(PeerScript().slow_open(60), connect_timeout=20)
        with pytest.raises(ConnectFailed, match=r"no answer within 20 s"):
            await conn.connect()
        assert mock_websocket.peers[0].current.over

    fake_clock.run(main())
    assert fake_clock.now == 20


def ends(fake_clock, conn):
    """Let a connection live until it has come back once; return the ends that were told."""

    async def main():
        told, back = [], asyncio.Event()
        conn.on("disconnected", told.append)
        conn.on("connected", lambda event: back.set() if event.attempt else None)
        async with asyncio.timeout(600), conn:
            await back.wait()
        assert leftovers() == []
        return told

    return fake_clock.run(main())


def test_a_peer_that_goes_silent_is_noticed_and_left(fake_clock, mock_websocket):
    gone = PeerScript().pause(65).half_open()
    conn = mock_websocket.connection(
        gone, PeerScript(), backoff=Constant(1), heartbeat=Ping(interval=20, timeout=10)
    )
    told = ends(fake_clock, conn)
    # The ping that was due at 80 s has until 90 s.
    assert (told[0].code, told[0].at) == (1006, pytest.approx(90, abs=0.01))
    assert "not answered" in told[0].reason


def test_a_watchdog_counts_anything_that_arrives(fake_clock, mock_websocket):
    beats = PeerScript()
    for _ in range(10):
        beats = beats.pause(25).send({"type": "beat"})
    conn = mock_websocket.connection(
        beats.stay_silent(), PeerScript(), backoff=Constant(1), heartbeat=Watchdog(20, grace=20)
    )
    told = ends(fake_clock, conn)
    assert told[0].at == pytest.approx(250 + 40, abs=0.01)


async def test_an_open_breaker_stops_attempts_and_a_success_closes_it():
    now = 0.0
    breaker = CircuitBreaker(Breaker(failures=2, open_duration=10.0), clock=lambda: now)
    factory = Factory(
        MemoryTransport(fail=ConnectFailed("down")),
        MemoryTransport(fail=ConnectFailed("down")),
        MemoryTransport(welcome=welcome()),
    )
    conns = [Connection(factory, breaker=breaker, clock=lambda: now) for _ in range(2)]
    for conn in conns:
        with pytest.raises(ConnectFailed, match="down"):
            await conn.connect()
    with pytest.raises(ConnectFailed, match=r"breaker is open for another 10\.0 s") as caught:
        await conns[0].connect()
    assert (caught.value.retry_after, caught.value.attempts) == (10.0, 0)
    assert (len(factory.made), conns[0].stats.attempts) == (2, 1)
    now = 10.5
    await conns[0].connect()
    assert breaker.state is Circuit.CLOSED
    await conns[0].close()


async def test_a_clear_no_does_not_trip_the_breaker():
    breaker = CircuitBreaker(Breaker(failures=1))
    conn = Connection(
        Factory(MemoryTransport(fail=ConnectFailed("401", retryable=False, status=401))), breaker=breaker
    )
    with pytest.raises(ConnectFailed):
        await conn.connect()
    assert breaker.state is Circuit.CLOSED


async def test_a_welcome_that_comes_late_still_begins_the_session():
    transport = MemoryTransport()
    conn = Connection(Factory(transport))
    seen = []
    conn.on("*", lambda message: seen.append(message.type))
    async with conn:
        assert conn.welcome is None
        transport.push(welcome("s9", seq=3, limit=500))
        transport.push(Message("n", 1))
        await until(lambda: seen)
        assert seen == ["n"]
        assert conn.welcome is not None
        assert conn._dispatch.position.resume().session == "s9"
        assert conn._dispatch.position.handled == 4
        assert transport.max_message_bytes == 500


async def test_the_messages_of_a_batch_count_one_by_one_and_only_the_last_has_its_cursor():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport), max_queue=1)
    async with conn:
        messages, position = conn.__aiter__(), conn._dispatch.position
        transport.cursor = "behind all three"
        transport.push(Message("batch", [{"type": "a"}, {"type": "b"}, 5, {"type": "c"}]))
        for kind, handled in (("a", 0), ("b", 1), ("c", 2)):
            assert (await anext(messages)).type == kind
            assert (position.handled, position.resume().cursor) == (handled, None)
        transport.push(Message("d"))
        await anext(messages)
        assert (position.handled, position.resume().cursor) == (4, "behind all three")
        assert [str(error) for _, error in conn.dead_letters] == [
            "a batch's message: Expected `object`, got `int`"
        ]


async def test_a_foreign_servers_batch_is_a_message_like_any_other():
    transport = MemoryTransport()
    conn = Connection(Factory(transport))
    async with conn:
        messages = conn.__aiter__()
        transport.push(Message("batch", [{"type": "a"}]))
        assert (await anext(messages)).type == "batch"


async def test_a_foreign_servers_welcome_is_a_message_like_any_other():
    transport = MemoryTransport()
    conn = Connection(Factory(transport))
    seen = []
    conn.on("welcome", seen.append)
    async with conn:
        transport.push(Message("welcome"))  # as ActionCable's
        transport.push(welcome())  # not the first message: no welcome of ours
        await until(lambda: len(seen) == 2)
        assert conn.welcome is None


class DeafAfterReturn(MemoryTransport):
    """Takes no message, as a peer that does not read."""

    async def send(self, message):
        await asyncio.Event().wait()


async def test_a_loss_is_noticed_while_the_way_back_to_the_rooms_waits():
    def server(message):
        first.push(Message("ack", {"recovered": True, "epoch": "e1", "offset": 4}, id=message.id))

    first = MemoryTransport(welcome=welcome(), on_send=server)
    second = DeafAfterReturn(welcome=welcome("s2"))
    third = MemoryTransport(welcome=welcome("s3"))
    conn = Connection(Factory(first, second, third), backoff=Constant(seconds=0.0))
    async with asyncio.timeout(10), conn:
        await conn.join_room("r")
        first.drop()
        await until(lambda: conn.stats.connects == 2)
        second.drop()
        await until(lambda: conn.stats.connects == 3 and third.sent)
        assert [message.type for message in third.sent] == ["join_room"]
    assert leftovers() == []


async def test_the_rooms_come_before_what_a_handler_publishes():
    def server(message):
        first.push(Message("ack", {"recovered": True, "epoch": "e1", "offset": 4}, id=message.id))

    first = MemoryTransport(welcome=welcome(), on_send=server)
    second = MemoryTransport(welcome=welcome("s2"))
    conn = Connection(Factory(first, second), backoff=Constant(seconds=0.0))
    tasks = []
    async with asyncio.timeout(10), conn:
        await conn.join_room("r")
        publish = lambda _: tasks.append(asyncio.create_task(conn.send("chat", 1, room_id="r")))  # noqa: E731
        conn.on("connected", publish)
        first.drop()
        await until(lambda: len(second.sent) == 2)
        assert [message.type for message in second.sent] == ["join_room", "chat"]
        await asyncio.gather(*tasks)


async def test_an_earlier_connection_that_still_closes_does_not_end_the_heartbeat_of_the_next():
    answered = asyncio.Event()

    class SlowToClose(MemoryTransport):
        async def close(self, code=1000, reason=""):
            await answered.wait()
            await super().close(code, reason)

    fresh = MemoryTransport(welcome=welcome("s2"))
    conn = Connection(
        Factory(SlowToClose(welcome=welcome()), fresh),
        heartbeat=Ping(interval=0.01, timeout=0.02),
        max_reconnect_attempts=0,
    )
    await conn.connect()
    closing = asyncio.create_task(conn.close())
    await turns()
    async with asyncio.timeout(10):
        await conn.connect()
        answered.set()
        await closing
    fresh.deaf = True
    await until(lambda: conn.state is State.DISCONNECTED)
    assert leftovers() == []


# Messages that are handled as they arrive


async def test_a_message_is_handled_as_it_arrives():
    transport = Calling(welcome=welcome())
    async with Connection(Factory(transport)) as conn:
        seen = []
        conn.on("n", lambda message: seen.append(message.payload))
        await turns()
        transport.push(Message("n", 1))
        assert seen == [1]
        assert conn._dispatch.position.handled == 1


async def test_a_full_iterator_stops_a_transport_that_calls_and_keeps_the_order():
    transport = Calling(welcome=welcome())
    conn = Connection(Factory(transport), max_queue=3)
    seen = []
    conn.on("n", lambda message: seen.append(message.payload))
    async with asyncio.timeout(10), conn:
        await turns()
        stream = aiter(conn)
        for n in range(10):
            transport.push(Message("n", n))
        await turns()
        assert seen == [0, 1, 2]
        for n in range(20):
            assert (await anext(stream)).payload == n
            transport.push(Message("n", 10 + n))
        assert seen == sorted(seen)


async def test_a_closing_connection_takes_messages_and_tells_nobody():
    class Closing(Calling):
        async def close(self, code=1000, reason=""):
            self.push(Message("n", "late"))

    transport = Closing(welcome=welcome())
    conn = Connection(Factory(transport))
    seen = []
    conn.on("n", seen.append)
    await conn.connect()
    await turns()
    await conn.close()
    assert seen == []


def test_an_interrupt_in_a_handler_that_a_transport_calls_gets_through():
    transport = Calling(welcome=welcome())
    conn = Connection(Factory(transport), backoff=Constant(seconds=60.0))
    seen = []

    def interrupt(message):
        seen.append(message.payload)
        raise KeyboardInterrupt

    conn.on("n", interrupt)

    async def script():
        await conn.connect()
        await turns()
        transport.push(Message("n", 1))
        transport.push(Message("n", 2))
        assert seen == [1]
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(script())
    assert (conn.state, seen) == (State.DISCONNECTED, [1])


@pytest.mark.parametrize(("name", "beats"), [("webrtc", False), ("websocket", True)])
async def test_a_foreign_peer_is_not_sent_pings_that_only_rtlab_answers(name, beats):
    transport = MemoryTransport()  # no welcome
    transport.name = name
    async with Connection(Factory(transport)) as conn:
        await until(lambda: conn._runner.opened._reading is not None)
        assert (conn._runner.opened._beats is not None) is beats
        transport.push(welcome())  # it is an rtlab server after all
        await until(lambda: conn._runner.opened._beats is not None)
