"""Each mechanism of delivery switched off: the ledger reports exactly its anomaly.

With all of them on, `tests/bench/test_delivery_proof_round.py` finds none.
"""

from __future__ import annotations

import asyncio
import random

import pytest
import pytest_asyncio

from rtlab.bench.delivery_proof_sender_and_receiver import follow, send
from rtlab.client.delivery.repeats_and_gaps import NewestNames, Position
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.transports._send_by_post import Upstream
from rtlab.errors import RtlabError
from rtlab.lab.lab import Lab
from rtlab.measure.delivery_ledger import Anomalies, Ledger
from rtlab.policies.backoff import Constant
from rtlab.protocol.resume_fields import Resume

pytestmark = pytest.mark.asyncio(loop_scope="module")

over_each = pytest.mark.parametrize("kind", [WebSocketConnection, ServerSentEvents, LongPolling])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab():
    async with Lab(faults=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def healed(lab):
    yield lab
    await lab.faults.restore()


async def until_read(ledger: Ledger, receiver: str, sender: str) -> None:
    """Return when nothing that is known to be sent is missing, or raise `TimeoutError`."""
    async with asyncio.timeout(20):
        while (account := ledger.account(receiver, sender)).received < account.ok:
            await asyncio.sleep(0.02)


# One mechanism switched off each time


def through(lab: Lab, kind, **options):
    url = lab.faults.ws_url if kind is WebSocketConnection else lab.faults.url
    return kind(url, backoff=Constant(0.01, min_uptime=0.0), **options)


async def run_with(lab: Lab, mode: str, kind) -> Anomalies:
    """Send to bob while the sender's answers are lost and its connection is cut; return what is missing."""
    ledger = Ledger()
    room = f"off-{random.random()}"
    async with (
        asyncio.timeout(30),
        WebSocketConnection(lab.ws_url) as bob,
        through(lab, kind, request_timeout=0.3) as ada,
    ):
        ada.request_timeout = 10.0  # for the join; the 0.3 s are for the answers that the hole swallows
        follow(ledger, bob, "bob", room)
        ada.on("error", lambda event: None)
        await bob.join_room(room)
        await ada.join_room(room)
        await send(ledger, ada, "ada", mode, 4, room)
        hole = lab.faults.blackhole(stream="downstream" if mode != "at_most_once" else "upstream")
        await hole
        before = ledger.account("bob", "ada").received
        sending = asyncio.create_task(send(ledger, ada, "ada", mode, 4, room))
        await asyncio.sleep(0.1)
        while mode != "at_most_once" and ledger.account("bob", "ada").received == before:
            await asyncio.sleep(0.01)  # else nothing is there twice: the hole swallows answers alone
        await lab.faults.cut()
        await hole.remove()
        await sending
        while ada.state.value != "Connected":
            await asyncio.sleep(0.01)
        await send(ledger, ada, "ada", mode, 4, room)
        await (await ada.send("last", room_id=room, delivery="at_least_once")).acked(10)
        await bob.ping()
    return ledger.account("bob", "ada")


@over_each
async def test_with_everything_on_there_is_no_anomaly(healed, kind):
    assert (await run_with(healed, "effectively_once", kind)).names == ()


async def test_without_acknowledgements_messages_are_lost(healed):
    assert (await run_with(healed, "at_most_once", WebSocketConnection)).names == ("lost_middle",)


@pytest.mark.parametrize("kind", [ServerSentEvents, LongPolling])
async def test_a_post_without_an_answer_may_have_arrived_and_its_sender_is_told(healed, kind):
    account = await run_with(healed, "at_most_once", kind)
    assert (account.names, account.unknown + account.failed > 0) == ((), True)


@over_each
async def test_without_numbers_messages_are_duplicated(healed, kind):
    assert (await run_with(healed, "at_least_once", kind)).names == ("duplicates",)


async def receive_through(lab: Lab, kind, *, restart: bool = False, before: int = 4) -> tuple[str, ...]:
    """Let ada follow a room through a cut, or a restart of the server; return the anomalies."""
    ledger = Ledger()
    async with (
        asyncio.timeout(30),
        WebSocketConnection(lab.ws_url, backoff=Constant(0.01, min_uptime=0.0)) as bob,
        through(lab, kind) as ada,
    ):
        follow(ledger, ada, "ada", "down")
        await bob.join_room("down")
        await ada.join_room("down")
        await send(ledger, bob, "bob", "effectively_once", before, "down")
        await until_read(ledger, "ada", "bob")
        if restart:
            await lab.restart()
            while not all(c.state.value == "Connected" and c.stats.connects == 2 for c in (ada, bob)):
                await asyncio.sleep(0.01)
            for conn in (ada, bob):
                await conn.join_room("down")
        else:
            down = lab.faults.down()
            await down
            await send(ledger, bob, "bob", "effectively_once", 4, "down")
            while ada.state.value == "Connected":  # between two polls, it may not have seen it yet
                await asyncio.sleep(0.01)
            await down.remove()
            while ada.state.value != "Connected":
                await asyncio.sleep(0.01)
            await ada.join_room("down")
        await send(ledger, bob, "bob", "effectively_once", 8, "down")
        # Its answer comes down behind them all. A ping goes beside a poll or an event stream.
        await ada.request("echo")
    return ledger.account("ada", "bob").names


@over_each
@pytest.mark.parametrize(("before", "lost"), [(4, "lost_middle"), (0, "lost_prefix")])
async def test_without_resume_what_came_in_between_is_lost(healed, monkeypatch, kind, before, lost):
    assert await receive_through(healed, kind, before=before) == ()
    monkeypatch.setattr(Position, "resume", lambda self: self.rooms.clear() or Resume(None, None, 0))
    assert await receive_through(healed, kind, before=before) == (lost,)


@over_each
async def test_without_a_look_at_the_epoch_a_new_history_counts_as_repeats(healed, monkeypatch, kind):
    assert await receive_through(healed, kind, restart=True) == ()
    accept, enter = Position.accept, Position.enter

    def blind(self, message):
        room = self.rooms.get(message.room_id or "")
        if room is not None and message.offset is not None:
            room.epoch = message.epoch
        return accept(self, message)

    def kept(self, room_id, epoch, offset):
        room = self.rooms.get(room_id)
        enter(self, room_id, epoch, offset if room is None else room.received)

    monkeypatch.setattr(Position, "accept", blind)
    monkeypatch.setattr(Position, "enter", kept)
    # Offsets begin at 1 again, and look old.
    assert await receive_through(healed, kind, restart=True) == ("lost_postfix",)


async def test_without_the_order_of_posts_messages_overtake_each_other(healed, monkeypatch):
    lab, ledger = healed, Ledger()
    held: list[asyncio.Task[None]] = []

    async def at_random(self, message, max_bytes):
        # Each message in a POST of its own, whenever it gets there: as `fetch` without `await`.
        async def later():
            await asyncio.sleep(0.05 if message.payload and message.payload[1] % 2 == 0 else 0.0)
            await ordered(self, message, max_bytes)

        if message.type != "stamped":
            return await ordered(self, message, max_bytes)
        held.append(asyncio.create_task(later()))
        return 0

    ordered = Upstream.send
    async with asyncio.timeout(30), WebSocketConnection(lab.ws_url) as bob, LongPolling(lab.url) as ada:
        follow(ledger, bob, "bob", "posts")
        await bob.join_room("posts")
        await ada.join_room("posts")
        monkeypatch.setattr(Upstream, "send", at_random)
        await send(ledger, ada, "ada", "at_most_once", 8, "posts")
        await asyncio.gather(*held)
        await until_read(ledger, "bob", "ada")
    assert ledger.account("bob", "ada").names == ("reordered",)


@pytest.mark.parametrize("dropped", [1, 0])
async def test_what_a_restarted_server_forgot_is_said_and_repeats_are_dropped(healed, monkeypatch, dropped):
    lab, seen = healed, []
    if not dropped:
        monkeypatch.setattr(NewestNames, "again", lambda self, sender, ident: False)
    async with (
        asyncio.timeout(30),
        WebSocketConnection(lab.ws_url, backoff=Constant(0.01, min_uptime=0.0)) as bob,
        WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.01, min_uptime=0.0)) as ada,
    ):
        bob.on("stamped", lambda message: seen.append(message.payload))
        bob.on("resync", lambda event: seen.append("resync"))
        for conn in (bob, ada):
            await conn.join_room("again")
        async with lab.faults.blackhole(stream="downstream"):
            receipt = await ada.send("stamped", 1, room_id="again", delivery="effectively_once")
            while 1 not in seen:
                await asyncio.sleep(0.01)
            await lab.restart()  # it handled the message, and nobody knows any more
        while not all(c.state.value == "Connected" and c.stats.connects == 2 for c in (ada, bob)):
            await asyncio.sleep(0.01)
        try:
            await receipt.acked(10)
        except RtlabError:
            pytest.fail("the message was not handled by the new server")
        await bob.ping()
    assert seen.count(1) == 2 - dropped
    assert "resync" in seen
    assert bob.stats.repeats == dropped
