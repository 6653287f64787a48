"""Attacks that once stopped a server, each on a fresh server while an honest client measures its echoes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from websockets.sync.client import connect

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.thousands_of_cheap_clients import IdleHandshake, IdleTransport, hold_idle_clients
from rtlab.bench.throughput.epoll_room_readers import (
    ROOM,
    CountingReaders,
    counting_readers,
)
from rtlab.bench.throughput.honest_client import round_trips
from rtlab.bench.throughput.process_reading import BENCH
from rtlab.lab.lab import Lab
from rtlab.processes.descriptor_limit import raise_nofile

__all__ = ["ATTACKS", "Attack", "attacks"]

SECONDS: Final = 5.0
LONGEST_TURN_MS: Final = 50.0
ECHO_P99_MS: Final = 20.0
_TIMEOUT: Final = 30.0


def _message(kind: str, payload: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, "payload": payload, **more}


def _text(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


#: One message of 34 kB that causes a million deliveries in a room of a thousand.
_PUBLISHES: Final = _text(_message("batch", [_message("n", 1, roomId=ROOM)] * 1_000))


@contextmanager
def _meanwhile(work: Callable[[threading.Event], None]) -> Generator[None]:
    """Run `work` in a thread inside the block; set the event that `work` gets when the block ends."""
    done = threading.Event()
    thread = threading.Thread(target=work, args=(done,))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _reading(readers: CountingReaders) -> AbstractContextManager[None]:
    """Let readers read everything inside the block."""
    return _meanwhile(lambda done: readers.read_while(lambda: not done.is_set()))


def _batch_of_publishes(lab: Lab, clients: int) -> Generator[None]:
    with counting_readers(lab.url, clients) as readers, _reading(readers):
        readers.say(_PUBLISHES)
        yield


def _batch_of_joins(lab: Lab, clients: int) -> Generator[None]:
    """Fill a room's history, and request all of it a thousand times in one message, five times."""
    with counting_readers(lab.url, 2) as readers:
        for _ in range(10):
            readers.publish([_text(_message("n", "x" * 100, roomId=ROOM))] * 100)
        join = _message("join_room", {"roomId": ROOM, "epoch": _epoch(lab), "offset": 0})
        with _reading(readers):
            for _ in range(5):
                readers.say(_text(_message("batch", [join] * 1_000)), of=1)
            yield


def _epoch(lab: Lab) -> str:
    """Return the epoch of the room's history, which the acknowledgement of a join contains."""
    with connect(lab.ws_url, compression=None, proxy=None) as ws:
        ws.send(_text(_message("join_room", {"roomId": ROOM}, id="j")).decode())
        while (answer := json.loads(ws.recv(_TIMEOUT)))["type"] != "ack":
            pass
        return answer["payload"]["epoch"]


def _silent_feeds(lab: Lab, clients: int) -> Generator[None]:
    """Request forty feeds of 20,000 messages per second, each for a client that then reads nothing."""
    feed = _text(_message("feed", {"rate": 20_000, "size": 10, "count": 600_000}))
    with counting_readers(lab.url, 40) as readers:
        for n in range(40):
            readers.say(feed, of=n)
        yield


def _stalled_readers(lab: Lab, clients: int) -> Generator[None]:
    """Publish into a room where fifty members read nothing, and ten others read everything."""
    with counting_readers(lab.url, 50), counting_readers(lab.url, 10) as readers, _reading(readers):
        publish = _text(_message("n", "x" * 1_000, roomId=ROOM))

        def go_on(done: threading.Event) -> None:
            while not done.wait(0.01):
                readers.say(publish)

        with _meanwhile(go_on):
            yield


def _bursts(lab: Lab, clients: int) -> Generator[None]:
    with counting_readers(lab.url, 1) as readers, _reading(readers):
        for _ in range(5):
            readers.say(_text(_message("batch", [_message("n", 1, roomId=ROOM)] * 100)))
        yield


def _huge_room(lab: Lab, clients: int) -> Generator[None]:
    """Publish repeatedly into a room of ten times as many members as there are clients."""
    with counting_readers(lab.url, 10 * clients) as readers, _reading(readers):
        for _ in range(20):
            readers.say(_text(_message("n", 1, roomId=ROOM)))
        yield


class Attack(NamedTuple):
    """One attack on a server.

    Parameters
    ----------
    what : str
        Description, with ``{clients}`` in place of the number of clients.
    begin : callable
        Generator that takes the lab and the number of clients. It starts the attack before its one ``yield``,
        and ends it after that.
    listeners : (str, float, str), optional
        Connections that only listen: their kind, their number as a multiple of the clients, and their path.
    heartbeat : float
        Seconds between the server's pings.
    """

    what: str
    begin: Callable[[Lab, int], Generator[None]]
    listeners: tuple[IdleTransport, float, str] | None = None
    heartbeat: float = 3600.0


def _nothing(lab: Lab, clients: int) -> Generator[None]:
    yield


_IN_64_ROOMS: Final = f"/sse?user=reader&room={ROOM}" + "".join(f"&room=r{n}" for n in range(63))

ATTACKS: Final[dict[str, Attack]] = {
    "nobody": Attack("nobody", _nothing),
    "publishes": Attack("a batch of 1,000 publishes into a room of {clients}", _batch_of_publishes),
    "joins": Attack("5 batches of 1,000 joins, each for a history of 1,000", _batch_of_joins),
    "feeds": Attack("40 feeds of 20,000/s to clients that fall silent", _silent_feeds),
    "stalled": Attack("50 members that read nothing", _stalled_readers),
    "streams": Attack("bursts to event streams in 64 rooms each", _bursts, ("sse", 0.2, _IN_64_ROOMS)),
    "huge room": Attack("20 publishes into a room of ten times {clients}", _huge_room),
    "idle": Attack(
        "twenty times {clients} idle clients, pinged each second", _nothing, ("websocket", 20, "/ws"), 1.0
    ),
}


async def attacks(
    start_lab: StartLab,
    *,
    clients: int = 500,
    seconds: float = SECONDS,
    which: tuple[str, ...] = tuple(ATTACKS),
) -> list[Result]:
    """Return, for each attack on a fresh server, the server's longest loop turn and an honest client's p99.

    Only turns during the attack have a limit; the longest turn until all clients have left is reported too.

    Parameters
    ----------
    start_lab : StartLab
        Starts each lab.
    clients : int
        Number of clients in an attack's rooms.
    seconds : float
        How long the honest client sends echoes, in seconds.
    which : tuple of str
        Names of the attacks, keys of `ATTACKS`.
    """
    raise_nofile()
    rows: list[Result] = []
    for name in which:
        attack = ATTACKS[name]
        lab = await start_lab(heartbeat=attack.heartbeat)
        try:
            found, turns = await _beside(lab, attack, clients, seconds)
            after = (await lab.stats())["turns"]
        finally:
            await lab.stop()
        what = attack.what.format(clients=f"{clients:,}")
        p99 = 1e3 * float(np.percentile(found, 99))
        for metric, value, limit in (
            (f"longest turn, {what}", 1e3 * turns["longest"], LONGEST_TURN_MS),
            (f"echo p99, {what}", p99, ECHO_P99_MS),
        ):
            row = Result.of(BENCH, metric, [value], "ms", "limit", [limit])
            rows.append(msgspec.structs.replace(row, at_most=1.0))
        rows += [
            Result.of(BENCH, f"longest turn's own CPU time, {what}", [1e3 * turns["longest_cpu"]], "ms"),
            # uvloop handles all ready events in one turn: thousands of clients that leave at once share one.
            Result.of(BENCH, f"longest turn until all have left, {what}", [1e3 * after["longest"]], "ms"),
        ]
    return rows


async def _beside(
    lab: Lab, attack: Attack, clients: int, seconds: float
) -> tuple[list[float], dict[str, float]]:
    """Return the honest client's round trips during the attack, and the server's loop turns until its end."""
    async with AsyncExitStack() as held:
        if attack.listeners is not None:
            kind, times, path = attack.listeners
            opening = IdleHandshake(path, "", b'"type":"welcome"')
            await held.enter_async_context(hold_idle_clients(lab.url, kind, round(times * clients), opening))
        trips = asyncio.create_task(round_trips(lab.ws_url, seconds))
        running = contextmanager(attack.begin)(lab, clients)
        try:
            await asyncio.to_thread(running.__enter__)
            try:
                return await trips, (await lab.stats())["turns"]
            finally:
                await asyncio.to_thread(running.__exit__, None, None, None)
        finally:
            trips.cancel()
            await asyncio.gather(trips, return_exceptions=True)
