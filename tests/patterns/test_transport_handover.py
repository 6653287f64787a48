"""One transport after the other, in memory: what is received, sent and raised around the change."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.errors import ConnectFailed, TransportClosed
from rtlab.patterns.transport_handover import Handover
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Calling, turns, welcome

RESUMED = welcome(resumed=True, seq=3)
HERE = Resume("me", "s1", 3)


class Slow(MemoryTransport):
    """Sends only when told."""

    def __init__(self, **options):
        super().__init__(**options)
        self.go_on = asyncio.Event()

    async def send(self, message):
        await self.go_on.wait()
        await super().send(message)


def carried(first, *, patience=10.0):
    handover = Handover("none", patience=patience)
    handover.begin("first", first)
    return handover


def ignore(_welcome):
    pass


async def test_a_reader_goes_on_over_the_next_transport_and_repeats_of_the_former_are_dropped():
    first, second = MemoryTransport(), MemoryTransport(welcome=RESUMED)
    handover = carried(first)
    told = []
    reading = asyncio.create_task(handover.receive())
    await turns()
    await handover.take_over("second", second, HERE, 1.0, told.append)
    first.push(Message("n", "late"))
    second.push(Message("n", "fresh"))
    async with asyncio.timeout(10):
        assert (await reading).payload == "fresh"
    assert (handover.name, told, second.resume) == ("second", [RESUMED], HERE)
    assert (first.aborted, second.aborted) == (True, False)


async def test_messages_that_are_offered_are_those_of_the_transport_in_use():
    first, second = Calling(), Calling(welcome=RESUMED)
    handover = carried(first)
    taken = []
    reading = asyncio.create_task(handover.receive(lambda message: taken.append(message.payload) or True))
    await turns()
    first.push(Message("n", "first"))
    await handover.take_over("second", second, HERE, 1.0, ignore)
    first.push(Message("n", "late"))
    await turns()
    second.push(Message("n", "second"))
    second.drop(1000, "bye", clean=True)
    async with asyncio.timeout(10):
        with pytest.raises(TransportClosed, match="bye"):
            await reading
    assert taken == ["first", "second"]


async def test_what_the_former_transport_ends_with_is_nobodys_business():
    first, second = MemoryTransport(), MemoryTransport(welcome=RESUMED)
    handover = carried(first)
    reading = asyncio.create_task(handover.receive())
    await turns()
    await handover.take_over("second", second, HERE, 1.0, ignore)
    first.drop(4500, "another connection continues this session")
    second.push(Message("n", 1))
    async with asyncio.timeout(10):
        assert (await reading).payload == 1


async def test_a_write_under_way_ends_before_the_next_one_begins_and_none_is_overtaken():
    first, second = Slow(), MemoryTransport(welcome=RESUMED)
    handover = carried(first)
    writes = [asyncio.create_task(handover.send(Message("n", 0)))]
    await turns()
    moving = asyncio.create_task(handover.take_over("second", second, HERE, 1.0, ignore))
    await turns()
    for n in (1, 2):
        writes.append(asyncio.create_task(handover.send(Message("n", n))))
        await turns()
    assert (first.sent, second.sent, first.aborted) == ([], [], False)
    first.go_on.set()
    async with asyncio.timeout(10):
        await moving
        await handover.send(Message("n", 3))
        await asyncio.gather(*writes)
    assert [m.payload for m in first.sent] == [0]
    assert [m.payload for m in second.sent] == [1, 2, 3]
    assert first.aborted


async def test_a_write_that_never_ends_holds_the_others_up_for_a_while_only():
    first, second = Slow(), MemoryTransport(welcome=RESUMED)
    handover = carried(first, patience=0.01)
    stuck = asyncio.create_task(handover.send(Message("n", 0)))
    await turns()
    await handover.take_over("second", second, HERE, 1.0, ignore)
    async with asyncio.timeout(10):
        await handover.send(Message("n", 1))
    assert [m.payload for m in second.sent] == [1]
    first.go_on.set()
    with pytest.raises(TransportClosed):
        await stuck


@pytest.mark.parametrize(
    "second",
    [
        lambda: MemoryTransport(fail=ConnectFailed("no 101")),
        lambda: MemoryTransport(gate=asyncio.Event()),
        lambda: MemoryTransport(welcome=welcome("s2")),  # another server, or one that has forgotten
        lambda: MemoryTransport(),
    ],
    ids=["refused", "silent", "another session", "foreign"],
)
async def test_a_move_that_fails_changes_nothing(second):
    first, next_one = MemoryTransport(), second()
    handover = carried(first)
    reading = asyncio.create_task(handover.receive())
    with pytest.raises((ConnectFailed, TimeoutError)):
        await handover.take_over("second", next_one, HERE, 0.01, ignore)
    assert next_one.aborted
    first.push(Message("n", 1))
    assert (await reading).payload == 1
    await handover.send(Message("n", 2))
    assert [m.payload for m in first.sent] == [2]
    assert handover.name == "first"


async def test_an_end_that_the_move_itself_may_have_caused_is_not_for_good():
    """The server took the next transport, whose welcome was lost: it has ended the former one with 4500."""
    first, gate = MemoryTransport(), asyncio.Event()
    second = MemoryTransport(fail=ConnectFailed("the welcome was lost"), gate=gate)
    handover = carried(first)
    reading = asyncio.create_task(handover.receive())
    moving = asyncio.create_task(handover.take_over("second", second, HERE, 1.0, ignore))
    await turns()
    first.push(TransportClosed(4500, "another connection continues this session"))
    await turns()
    assert not reading.done()
    gate.set()
    with pytest.raises(ConnectFailed):
        await moving
    with pytest.raises(TransportClosed) as caught:
        await reading
    assert caught.value.reconnect is True


async def test_the_same_end_without_a_move_is_for_good():
    first = MemoryTransport()
    first.push(TransportClosed(4500, "another connection continues this session"))
    with pytest.raises(TransportClosed) as caught:
        await carried(first).receive()
    assert (caught.value.code, caught.value.reconnect) == (4500, None)


async def test_a_poll_is_not_asked_again_while_the_next_transport_opens():
    """It would take the session back from the one that has just got it."""
    first, gate = MemoryTransport(), asyncio.Event()
    first.confirms = True
    handover = carried(first)
    moving = asyncio.create_task(
        handover.take_over("second", MemoryTransport(welcome=RESUMED, gate=gate), HERE, 1.0, ignore)
    )
    await turns()
    first.push(Message("n", "of a poll that must not be sent"))
    reading = asyncio.create_task(handover.receive())
    await turns()
    assert not reading.done()
    gate.set()
    await moving
    handover.active.push(Message("n", 1))
    assert (await reading).payload == 1


async def test_bytes_are_counted_over_all_transports():
    first, second = MemoryTransport(), MemoryTransport(welcome=RESUMED)
    handover = carried(first)
    await handover.send(Message("n", 1))
    before = handover.bytes_out
    await handover.take_over("second", second, HERE, 1.0, ignore)
    await handover.send(Message("n", 1))
    assert handover.bytes_out == 2 * before
