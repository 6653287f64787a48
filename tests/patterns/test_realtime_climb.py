"""RealtimeClient climbs to a better transport while messages flow, on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtlab.client.event_emitter import Moved
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from rtlab.patterns.realtime_client import RealtimeClient, RealtimeConnection
from rtlab.patterns.transport_blocklist import Blocklist
from rtlab.patterns.transport_choice_strategy import SUREST_FIRST, Strategy
from rtlab.policies.backoff import Constant

TIMEOUT = 60.0
ALL = ("websocket", "sse", "longpoll")


@pytest.fixture
async def lab():
    async with Lab(faults=True) as running:
        yield running


def fallen_to(name: str, url: str, **options: Any) -> RealtimeConnection:
    """Make a client that begins with `name`, since what is better counts as blocked, and climbs soon."""
    blocklist = Blocklist(short_life=0.0)
    for better in ALL[: ALL.index(name)]:
        blocklist.block(url.removeprefix("http://"), better, "a proxy of yesterday")
    strategy = Strategy(reprobe_interval=0.3, jitter=0)
    return RealtimeConnection(url, blocklist=blocklist, strategy=strategy, **options)


def moved(client: RealtimeConnection) -> asyncio.Future[Moved]:
    """Listen from now on: a client may climb as soon as it is open, before anything else is answered."""
    told: asyncio.Future[Moved] = asyncio.get_running_loop().create_future()
    client.once("moved", told.set_result)
    return told


def outcomes(client: RealtimeConnection) -> list[str]:
    return [str(outcome) for outcome in client.attempts["outcome"]]  # pyright: ignore[reportUnknownVariableType]


@pytest.mark.parametrize("iterates", [False, True], ids=["handlers", "iterator"])
@pytest.mark.parametrize(
    ("start", "candidates", "end"),
    [
        ("longpoll", ALL, "websocket"),
        ("sse", ALL, "websocket"),
        ("longpoll", ("sse", "longpoll"), "sse"),
    ],
)
async def test_nothing_is_lost_doubled_or_overtaken_on_the_way_up(
    lab: Lab, start: str, candidates: tuple[str, ...], end: str, iterates: bool
):
    """A room and a feed come down, numbered messages and requests go up, all through the move."""
    down: dict[str, list[int]] = {"chat": [], "feed": []}
    up: list[int] = []
    read: list[int] = []
    lost: list[Any] = []
    stopped = asyncio.Event()
    client = fallen_to(start, lab.url, transports=candidates)
    for kind, seen in down.items():
        client.on(kind, lambda m, seen=seen: seen.append(m.payload["n"]))
    for kind in ("disconnected", "resync", "error"):
        client.on(kind, lost.append)

    async def publish(other: WebSocketConnection) -> int:
        n = 0
        while not stopped.is_set():
            await other.send("chat", {"n": n}, room_id="down")
            n += 1
            await asyncio.sleep(0.002)
        return n

    async def speak() -> int:
        n = 0
        while not stopped.is_set():
            await client.send("told", n, room_id="up")
            n += 1
            await asyncio.sleep(0.001)
        return n

    async def ask() -> int:
        n = 0
        while not stopped.is_set():
            assert (await client.request("echo", n)).payload == n
            n += 1
            await asyncio.sleep(0.001)
        return n

    async def iterate() -> None:
        async for message in client:
            if message.type == "chat":
                read.append(message.payload["n"])
                await asyncio.sleep(0.003)  # slower than they come: a tail waits in the queue

    async with asyncio.timeout(TIMEOUT), WebSocketConnection(lab.ws_url) as other:
        other.on("told", lambda m: up.append(m.payload))
        await other.join_room("up")
        await other.join_room("down")
        moving = moved(client)
        async with client:
            assert client.transport == start
            await client.join_room("down")
            await client.join_room("up")
            await client.send("feed", {"rate": 500, "size": 10, "count": 400})
            tasks = [asyncio.create_task(work) for work in (publish(other), speak(), ask())]
            reader = asyncio.create_task(iterate()) if iterates else None
            await asyncio.wait([moving, *tasks], return_when=asyncio.FIRST_COMPLETED)
            assert [task.exception() for task in tasks if task.done()] == []
            event = await moving
            assert (event.former, event.transport, client.transport) == (start, end, end)
            at = len(down["chat"])
            while len(down["chat"]) < at + 50 or len(down["feed"]) < 400:
                await asyncio.sleep(0.005)
            stopped.set()
            published, spoken, asked = await asyncio.gather(*tasks)
            while len(down["chat"]) < published or len(up) < spoken or (iterates and len(read) < published):
                await asyncio.sleep(0.005)
            assert client.stats.disconnects == 0
            assert client.stats.connects == 1
            assert lost == []
        if reader is not None:
            await reader
    assert down == {"chat": list(range(published)), "feed": list(range(400))}
    assert up == list(range(spoken))
    assert asked > 5
    assert read == (list(range(published)) if iterates else [])


async def test_a_real_loss_after_a_move_is_resumed_like_any_other(lab: Lab):
    got: list[int] = []
    client = fallen_to("longpoll", lab.faults.url, backoff=Constant(seconds=0.0))
    client.on("feed", lambda m: got.append(m.payload["n"]))
    moving = moved(client)
    async with asyncio.timeout(TIMEOUT), client:
        await client.send("feed", {"rate": 200, "size": 10, "count": 300})
        await moving
        await lab.faults.cut()
        while len(got) < 300 or not client.stats.disconnects:
            await asyncio.sleep(0.005)
        assert client.stats.disconnects == 1
    assert got == list(range(300))


async def test_it_climbs_when_the_network_is_repaired_and_not_before(lab: Lab):
    strategy = Strategy(reprobe_interval=0.1)
    async with asyncio.timeout(TIMEOUT):
        proxy = lab.faults.strip_upgrade()
        await proxy
        async with await RealtimeClient.connect(lab.faults.url, strategy=strategy) as client:
            await client.request("echo")
            refused = len(client.attempts)
            while len(client.attempts) < refused + 3:
                await asyncio.sleep(0.01)
            assert client.transport == "sse"
            moving = moved(client)
            await proxy.remove()
            assert (await moving).transport == "websocket"
            assert outcomes(client)[-2:] == ["probed", "works"]
            assert client.blocklist.blocked(lab.faults.url.removeprefix("http://"), "websocket") == ""
            await client.request("echo")


async def test_opening_with_the_surest_needs_no_deadline_where_the_upgrade_is_swallowed(lab: Lab):
    async with asyncio.timeout(TIMEOUT), lab.faults.hang_upgrade():
        options = {"strategy": SUREST_FIRST, "deadline": 3.0}
        async with await RealtimeClient.connect(lab.faults.url, **options) as client:
            assert outcomes(client) == ["works"]
            assert client.transport == "longpoll"
            assert (await moved(client)).transport == "sse"
            assert outcomes(client) == ["works", "refused", "probed", "works"]


async def test_closing_in_the_middle_of_a_probe_leaves_nothing(lab: Lab):
    before = asyncio.all_tasks()
    async with asyncio.timeout(TIMEOUT), lab.faults.hang_upgrade():
        client = await RealtimeClient.connect(lab.faults.url, strategy=SUREST_FIRST)
        await asyncio.sleep(0.05)
        await client.close()
        assert asyncio.all_tasks() - before == set()


async def test_a_probe_leaves_no_session_behind(lab: Lab):
    async with asyncio.timeout(TIMEOUT):
        client = fallen_to("longpoll", lab.url, transports=("websocket", "longpoll"))
        moving = moved(client)
        async with client:
            await moving
            while (await lab.stats())["sessions"] > 1:
                await asyncio.sleep(0.01)


async def test_the_heartbeat_of_the_new_transport_runs(lab: Lab):
    client = fallen_to("longpoll", lab.url)
    moving = moved(client)
    async with asyncio.timeout(TIMEOUT), client:
        opened = client._runner.opened  # pyright: ignore[reportPrivateUsage]
        assert opened is not None
        assert opened._beats is None  # pyright: ignore[reportPrivateUsage]
        await moving
        assert opened._beats is not None  # pyright: ignore[reportPrivateUsage]


async def test_what_cuts_after_the_move_is_left_alone(lab: Lab):
    url = lab.faults.url
    strategy = Strategy(reprobe_interval=0.1, opens_with="surest")
    blocklist = Blocklist(short_life=60.0, max_short_lives=1)
    options: dict[str, Any] = {"strategy": strategy, "blocklist": blocklist, "backoff": Constant(seconds=0.0)}
    transports = ("websocket", "longpoll")
    async with asyncio.timeout(TIMEOUT):
        async with await RealtimeClient.connect(url, transports=transports, **options) as client:
            await moved(client)
            await lab.faults.cut()
            while client.stats.connects < 2:
                await asyncio.sleep(0.005)
            assert client.transport == "longpoll"
            trials = len(client.attempts)
            await asyncio.sleep(0.5)  # five probes would be due
            assert len(client.attempts) == trials
