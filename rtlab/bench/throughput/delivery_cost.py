"""What one delivery to a room costs the server, beside ``websockets.broadcast`` and python-socketio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Final

import msgspec

from rtlab.bench.peers.peer_servers import PeerServer
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.throughput.epoll_room_readers import (
    ROOM,
    RTLAB,
    CountingReaders,
    Dialect,
    counting_readers,
)
from rtlab.bench.throughput.process_reading import Reading, cpu_result, rate_result, watch
from rtlab.processes.descriptor_limit import raise_nofile

__all__ = ["SOCKETIO", "WEBSOCKETS", "compressed_fan_out", "fan_out", "room_sizes", "server_batching"]

REPEATS: Final = 9
READERS: Final = 500
#: Deliveries in one reading: a quarter of a second or more.
DELIVERIES: Final = 40_000
#: Numbers of readers for `room_sizes`.
SIZES: Final = (10, 30, 100, 300, 1_000, 3_000, 5_000)
#: Bytes of each payload.
SIZE: Final = 100

WEBSOCKETS: Final = Dialect("/", (b'{"type":"join_room"}',), 1)
SOCKETIO: Final = Dialect(
    "/socket.io/?EIO=4&transport=websocket", (b"40", b'42["join","%b"]' % ROOM.encode()), 3
)

#: Takes a number of bytes of padding; returns the text that publishes such a message.
_Text = Callable[[int], bytes]


def _chat(size: int) -> bytes:
    return json.dumps({"type": "chat", "roomId": ROOM, "payload": "x" * size}, separators=(",", ":")).encode()


def _event(size: int) -> bytes:
    return b'42["chat",%b]' % _chat(size)


class _Side:
    """One server with its readers; `match` makes its frames as long as another server's."""

    def __init__(self, pid: int, readers: CountingReaders, text: _Text, size: int = SIZE) -> None:
        self.pid = pid
        self.readers = readers
        self._text = text
        self._size = size

    def match(self, frame_bytes: float) -> None:
        """Change the padding of published messages so that their frames have this length."""
        self._size += round(frame_bytes - self.frame_bytes())

    def frame_bytes(self) -> float:
        """Publish one message, and return the length of its frame in bytes."""
        before = self.readers.bytes
        self.readers.publish([self._text(self._size)])
        return (self.readers.bytes - before) / len(self.readers)

    def read(self, deliveries: int, at_once: int = 1, per_message: float = 1.0) -> Reading:
        """Publish `at_once` messages per write, each time once the server has written the previous ones."""
        texts = [self._text(self._size)] * at_once
        turns = max(1, deliveries // (len(self.readers) * at_once))

        def work() -> None:
            self.readers.publish_on(texts, turns, per_message=per_message)

        return watch(self.pid, turns * at_once * len(self.readers), work)


def _in_turns(sides: list[_Side], repeats: int, read: Callable[[_Side], Reading]) -> list[list[Reading]]:
    """Measure all sides in turns, each time beginning with another one; the first round warms up."""
    found: list[list[Reading]] = [[] for _ in sides]
    for turn in range(repeats + 1):
        for n in range(len(sides)):
            which = (n + turn) % len(sides)
            reading = read(sides[which])
            if turn:
                found[which].append(reading)
    return found


async def fan_out(
    start_lab: StartLab, *, readers: int = READERS, deliveries: int = DELIVERIES, repeats: int = REPEATS
) -> list[Result]:
    """Compare the CPU time per delivery with both peers', with one and ten publishes in a loop turn.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server is measured.
    readers, deliveries, repeats : int
        Readers of each server, deliveries in a reading, and number of readings.
    """
    raise_nofile()
    async with AsyncExitStack() as stack:
        lab = await start_lab(heartbeat=3600.0)
        stack.push_async_callback(lab.stop)
        bare, sio = await PeerServer.start("websockets"), None
        stack.push_async_callback(bare.stop)
        sio = await PeerServer.start("socketio-uvicorn")
        stack.push_async_callback(sio.stop)
        places = (
            (lab.url, lab.pids[0], RTLAB, _chat),
            (bare.url, bare.pid, WEBSOCKETS, _chat),
            (sio.url, sio.pid, SOCKETIO, _event),
        )

        def measure() -> list[Result]:
            with ExitStack() as held:
                sides = [
                    _Side(pid, held.enter_context(counting_readers(url, readers, dialect)), text)
                    for url, pid, dialect, text in places
                ]
                size = sides[0].frame_bytes()
                for side in sides[1:]:
                    side.match(size)
                one = _in_turns(sides, repeats, lambda side: side.read(deliveries))
                ten = _in_turns(sides, repeats, lambda side: side.read(deliveries, at_once=10))
            what = f"server CPU per delivery to {readers} clients"
            return [
                cpu_result(f"{what}, one publish a turn", one[0], "websockets.broadcast", one[1], 0.9),
                cpu_result(f"{what}, ten publishes a turn", ten[0], "websockets.broadcast", ten[1], 0.3),
                rate_result(
                    f"deliveries/s to {readers} clients", one[0], "python-socketio on uvicorn", one[2], 4.0
                ),
            ]

        return await asyncio.to_thread(measure)


async def compressed_fan_out(
    start_lab: StartLab, *, readers: int = READERS, deliveries: int = DELIVERIES, repeats: int = REPEATS
) -> list[Result]:
    """Compare compressed frames, compressed once for all readers, with plain ones, in one server."""
    raise_nofile()
    lab = await start_lab(heartbeat=3600.0, compression=True)
    try:
        pid = lab.pids[0]

        def measure() -> list[Result]:
            found: list[list[Reading]] = [[], []]
            offers = ("permessage-deflate; server_no_context_takeover", "")
            for turn in range(repeats + 1):
                # One group after the other: a publish goes to all members of the room.
                for which in (0, 1) if turn % 2 else (1, 0):
                    with counting_readers(lab.url, readers, extensions=offers[which]) as group:
                        side = _Side(pid, group, _chat, 4 * SIZE)
                        side.frame_bytes()  # warms up
                        reading = side.read(deliveries)
                    if turn:
                        found[which].append(reading)
            metric = f"server CPU per delivery to {readers} clients, compressed and shared"
            return [cpu_result(metric, found[0], "uncompressed", found[1], 1.5)]

        return await asyncio.to_thread(measure)
    finally:
        await lab.stop()


async def server_batching(
    start_lab: StartLab, *, readers: int = 50, deliveries: int = DELIVERIES, repeats: int = REPEATS
) -> list[Result]:
    """Compare deliveries/s of readers that request batches of ten with those that do not.

    Publishes arrive in separate loop turns, so that only batches can save writes.
    """
    raise_nofile()
    lab = await start_lab(heartbeat=3600.0)
    batching = Dialect(RTLAB.path + "&batch=1:10", RTLAB.opening, RTLAB.answers)
    try:
        pid = lab.pids[0]

        def measure() -> list[Result]:
            found: list[list[Reading]] = [[], []]
            for turn in range(repeats + 1):
                for which in (0, 1) if turn % 2 else (1, 0):
                    dialect = (batching, RTLAB)[which]
                    with counting_readers(lab.url, readers, dialect) as group:
                        side = _Side(pid, group, _chat)
                        reading = _publish_apart(side, deliveries, batched=which == 0)
                    if turn:
                        found[which].append(reading)
            metric = f"room publish, deliveries/s to {readers} clients in batches of 10"
            return [rate_result(metric, found[0], "without batches", found[1], 3.0)]

        return await asyncio.to_thread(measure)
    finally:
        await lab.stop()


def _publish_apart(side: _Side, deliveries: int, *, batched: bool) -> Reading:
    """Publish one message per write, from different readers, so that each is read in its own loop turn."""
    readers = side.readers
    count = max(10, deliveries // len(readers) // 10 * 10)
    text = _chat(SIZE)

    def work() -> None:
        for n in range(count):
            readers.say(text, of=n % len(readers))
            if not batched or n % 10 == 9:
                readers.read_until(readers.frames + len(readers))

    return watch(side.pid, count * len(readers), work)


async def room_sizes(
    start_lab: StartLab,
    *,
    sizes: tuple[int, ...] = SIZES,
    deliveries: int = DELIVERIES,
    repeats: int = 3,
) -> list[Result]:
    """Return deliveries/s by the room's size, and how the CPU time per delivery grows with it."""
    raise_nofile()
    lab = await start_lab(heartbeat=3600.0)
    try:
        pid = lab.pids[0]

        def measure() -> list[Result]:
            rows: list[Result] = []
            costs: dict[int, list[Reading]] = {}
            for size in sizes:
                with counting_readers(lab.url, size) as readers:
                    side = _Side(pid, readers, _chat)
                    side.frame_bytes()  # warms up
                    costs[size] = [side.read(deliveries) for _ in range(repeats)]
                rates = [reading.rate for reading in costs[size]]
                row = Result.of("throughput", f"deliveries/s, room of {size:,}", rates, "/s")
                rows.append(msgspec.structs.replace(row, busy=min(r.busy for r in costs[size])))
            # Relative to a room of at least 100: in smaller rooms the publish itself is most of the cost.
            base = next(size for size in sizes if size >= min(100, sizes[-1]))
            most = sizes[-1]
            grown = cpu_result(
                f"server CPU per delivery, room of {most:,}",
                costs[most],
                f"room of {base:,}",
                costs[base],
                1.1,
            )
            return [*rows, grown]

        return await asyncio.to_thread(measure)
    finally:
        await lab.stop()
