"""``rtlab bench queue``: what the durability of an offline queue costs, and what recovery costs.

Both queues write to the same disk, in WAL mode with ``synchronous=FULL``: enqueued messages survive a power
cut. The peer dequeues and acknowledges within its process; ours sends each message to a server, which
acknowledges it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

from rtlab.bench.peers.persist_queue import enqueue_and_acknowledge, enqueue_one_at_a_time
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.delivery.retransmission import DeliveryMode
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.policies.backoff import Constant

__all__ = ["run"]

REPEATS: Final = 5
#: Tasks or threads that enqueue at once, and messages of each.
AT_ONCE: Final = 64
EACH: Final = 16
#: Messages that are enqueued and acknowledged one at a time.
ONE_BY_ONE: Final = 100
#: Messages in the file that is opened again.
WAITING: Final = 100_000
#: Messages of a room that a client misses.
MISSED: Final = 10_000
#: Messages of each way of sending in a turn.
SENT: Final = 20_000
#: Messages in a frame: as many as acknowledged sending puts in one at most.
TOGETHER: Final = 64
TURNS: Final = 9
TIMEOUT: Final = 300.0

_PAYLOAD: Final = {"text": "x" * 100}
_PEER: Final = "persist-queue"


def _disk() -> str:
    """Return a folder on a real disk.

    Raises
    ------
    LabError
        If the folder is in memory, where a commit takes no time.
    """
    folder = "/var/tmp" if Path("/var/tmp").is_dir() else tempfile.gettempdir()
    mounts = [
        part for part in psutil.disk_partitions(all=True) if Path(folder).is_relative_to(part.mountpoint)
    ]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
    if kind in ("tmpfs", "ramfs"):
        raise LabError(f"{folder} is in memory ({kind}): mount a disk there, durability has no cost without")
    return folder


async def _together(url: str, path: Path) -> float:
    """Return the seconds until all messages of many tasks are acknowledged, and removed on disk."""
    conn = WebSocketConnection(url)

    async def enqueue() -> None:
        for _ in range(EACH):
            await queue.send("chat", _PAYLOAD, room_id="bench")

    async with MessageQueue(conn, path) as queue, conn:
        began = time.perf_counter()
        await asyncio.gather(*(enqueue() for _ in range(AT_ONCE)))
        await queue.flush(TIMEOUT)
        return time.perf_counter() - began


async def _one_by_one(url: str, path: Path) -> float:
    conn = WebSocketConnection(url)
    async with MessageQueue(conn, path) as queue, conn:
        began = time.perf_counter()
        for _ in range(ONE_BY_ONE):
            await queue.send("chat", _PAYLOAD, room_id="bench")
            await queue.flush(TIMEOUT)
        return time.perf_counter() - began


async def _enqueue(url: str, folder: str) -> list[Result]:
    """Compare both queues in turns, each with a new file."""
    values: dict[str, list[float]] = {"ours": [], "peer": [], "our one": [], "peer's one": []}
    for turn in range(REPEATS):
        path = Path(folder)
        values["ours"].append(AT_ONCE * EACH / await _together(url, path / f"{turn}.sqlite"))
        peer = f"{folder}/peer-{turn}"
        taken = await asyncio.to_thread(enqueue_and_acknowledge, peer, _PAYLOAD, each=EACH, threads=AT_ONCE)
        values["peer"].append(AT_ONCE * EACH / taken)
        values["our one"].append(ONE_BY_ONE / await _one_by_one(url, path / f"one-{turn}.sqlite"))
        taken = await asyncio.to_thread(enqueue_one_at_a_time, f"{peer}-one", _PAYLOAD, count=ONE_BY_ONE)
        values["peer's one"].append(ONE_BY_ONE / taken)
    durably = "enqueue + ack, synchronous=FULL"
    return [
        Result.of("queue", f"{durably}, {AT_ONCE} at once", values["ours"], "msg/s", _PEER, values["peer"]),
        Result.of(
            "queue", f"{durably}, 1 at a time", values["our one"], "msg/s", _PEER, values["peer's one"]
        ),
    ]


async def _reopen(folder: str) -> Result:
    """Time the opening of a queue file with many waiting messages."""
    path = Path(folder) / "waiting.sqlite"
    offline = WebSocketConnection("ws://127.0.0.1:1/ws")  # never opened, so all messages wait
    async with MessageQueue(offline, path, max_messages=WAITING) as queue:
        for _ in range(0, WAITING, 1000):
            await asyncio.gather(*(queue.send("chat", _PAYLOAD) for _ in range(min(1000, WAITING))))
    opened: list[float] = []
    for _ in range(REPEATS):
        queue = MessageQueue(WebSocketConnection("ws://127.0.0.1:1/ws"), path, max_messages=WAITING)
        began = time.perf_counter()
        await queue.open()
        opened.append(time.perf_counter() - began)
        if len(queue) != WAITING:
            raise LabError(f"expected {WAITING:,} messages in the file, got {len(queue):,}")
        await queue.close()
    return Result.of("queue", f"reopen {WAITING:,} messages", opened, "s", "limit", [1.0])


async def _recover(start_lab: StartLab) -> Result:
    """Time how long a client takes to receive all messages it missed, from when it can connect again."""
    kept = {"history_messages": 2 * MISSED, "history_bytes": 1 << 26, "history_age": TIMEOUT}
    waits = {"backlog_messages": 2 * MISSED, "backlog_bytes": 1 << 26, "write_limit_bytes": 1 << 26}
    lab = await start_lab(faults=True, **kept, **waits, write_limit_messages=2 * MISSED)
    seconds: list[float] = []
    try:
        async with (
            WebSocketConnection(lab.ws_url) as writer,
            WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.01)) as reader,
        ):
            got: list[Any] = []
            all_there = asyncio.Event()

            def take(message: Any) -> None:
                got.append(message.payload)
                if message.payload == MISSED - 1:
                    all_there.set()

            reader.on("chat", take)
            await reader.join_room("bench")
            await writer.join_room("bench")
            for _ in range(REPEATS):
                got.clear()
                all_there.clear()
                async with lab.faults.down():
                    for n in range(MISSED):
                        await writer.send("chat", n, room_id="bench")
                    await writer.ping()  # the server has put all messages in the room
                    if got:
                        raise LabError("the client heard of messages that it was to miss")
                    began = time.perf_counter()
                async with asyncio.timeout(TIMEOUT):
                    await all_there.wait()
                seconds.append(time.perf_counter() - began)
                if got != list(range(MISSED)):
                    raise LabError(f"expected {MISSED:,} messages in order, got {len(got):,}")
    finally:
        await lab.stop()
    return Result.of("queue", f"recover {MISSED:,} missed messages", seconds, "s", "limit", [1.0])


async def _sending(url: str) -> list[Result]:
    """Compare acknowledged with unacknowledged sending, in turns, on separate connections.

    An unacknowledged message is a frame of its own, but acknowledged messages share frames. So they are
    compared also with unacknowledged batches of the same size.
    """
    async with (
        WebSocketConnection(url) as first,
        WebSocketConnection(url) as second,
        WebSocketConnection(url) as third,
    ):
        counts = dict.fromkeys((first, second, third), 0)

        def heard(conn: WebSocketConnection) -> None:
            counts[conn] += SENT
            if conn.stats.messages_in < counts[conn]:
                raise LabError(f"the answer came before {SENT:,} messages: it says nothing of them")

        def sender(
            conn: WebSocketConnection, room_id: str, mode: DeliveryMode, together: int = 1
        ) -> Callable[[], Any]:
            async def send() -> float:
                began = time.perf_counter()
                if together > 1:
                    for start in range(0, SENT - 1, together):
                        numbers = range(start, min(start + together, SENT - 1))
                        items = [{"type": "chat", "payload": n, "roomId": room_id} for n in numbers]
                        await conn.send("batch", items)
                else:
                    for n in range(SENT - 1):
                        await conn.send("chat", n, room_id=room_id, delivery=mode)
                # The last message's acknowledgement shows that all are handled: it comes after the others in
                # the room and, for an acknowledged mode, in the outbox of that mode.
                behind: DeliveryMode = "at_least_once" if mode == "at_most_once" else mode
                last = await conn.send("chat", SENT, room_id=room_id, delivery=behind)
                await last.acked(TIMEOUT)
                heard(conn)
                return SENT / (time.perf_counter() - began)

            return send

        ways = (
            sender(first, "acknowledged", "effectively_once"),
            sender(second, "unacknowledged", "at_most_once"),
            sender(third, "in batches", "at_most_once", TOGETHER),
        )
        await first.join_room("acknowledged")
        await second.join_room("unacknowledged")
        await third.join_room("in batches")
        rates: tuple[list[float], list[float], list[float]] = ([], [], [])
        for turn in range(TURNS + 1):
            for way, kept in zip(ways, rates, strict=True):
                async with asyncio.timeout(TIMEOUT):
                    rate = await way()
                if turn:  # the first turn warms up
                    kept.append(rate)
    what, batches = "acknowledged sending", f"unacknowledged, {TOGETHER} in a frame"
    return [
        Result.paired("queue", what, rates[0], "msg/s", "unacknowledged, each in a frame", rates[1]),
        Result.paired("queue", what, rates[0], "msg/s", batches, rates[2]),
    ]


async def run(start_lab: StartLab) -> list[Result]:
    """Measure the offline queue and acknowledged sending.

    Parameters
    ----------
    start_lab : StartLab
        Starts the labs whose servers acknowledge.

    Returns
    -------
    list of Result
        Rate of messages enqueued durably and acknowledged, many at once and one at a time, beside
        persist-queue's; the time to open a full file, and to receive missed messages; acknowledged
        beside unacknowledged sending.

    Raises
    ------
    LabError
        If persist-queue is missing, there is no real disk, or messages are missing.
    """
    with tempfile.TemporaryDirectory(prefix="rtlab-bench-", dir=_disk()) as folder:
        lab = await start_lab()
        try:
            results = await _enqueue(lab.ws_url, folder)
            results.append(await _reopen(folder))
            sending = await _sending(lab.ws_url)
        finally:
            await lab.stop()
        return [*results, await _recover(start_lab), *sending]
