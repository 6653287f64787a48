"""``rtlab bench metrics``: what its own metrics cost a server.

One server counts durations, measures its loop turns and has its metrics page read in one slice of time,
and does none of this in the next. It is one process, because two processes of the same program differ by
more than the effect. Its CPU time is read from outside; metrics may cost 3 %.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

import msgspec

from rtlab.bench.asyncio_room_readers import Readers, gather_readers
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.server_with_metrics_switch import COUNT, DO_NOT_COUNT
from rtlab.lab.fetch_prometheus_page import MetricsReader
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.processes.start_child_process import Child

__all__ = ["run"]

#: Pairs of readings, after one pair that warms up.
REPEATS: Final = 101
#: Slices of a pair, half of them with metrics, so short that a slow moment of the machine affects both.
SLICES: Final = 16
#: The page is read in one of so many slices with metrics: every 0.2 s or so of CPU time.
PAGE_EVERY: Final = 4
#: Readers in the room. In a room of one, a delivery is the whole handling of a client's message.
READERS: Final = (1, 200)
#: Deliveries in a slice, by the room's size: some 50 ms of CPU time.
DELIVERIES: Final = {1: 1_250, 200: 9_000}
#: Largest ratio of the CPU time per delivery with metrics to that without.
LIMIT: Final = 1.03
START_TIMEOUT: Final = 20.0


class _Switched:
    """The server whose metrics can be switched, with its readers."""

    def __init__(self, pid: int, url: str, readers: Readers, pages: MetricsReader) -> None:
        self._pid = pid
        self._url = url
        self._readers = readers
        self._pages = pages

    async def slice(self, deliveries: int, *, watched: bool, page: bool) -> float:
        """Return the server's CPU time per delivery, in µs, with that of serving the page if it is read."""
        readers = self._readers
        os.kill(self._pid, COUNT if watched else DO_NOT_COUNT)
        messages = max(1, deliveries // len(readers))
        await readers.publish(max(2, messages // 20))  # the server handles the signal meanwhile
        before = cpu_seconds(self._pid)
        await readers.publish(messages)
        if page:
            await self._pages.read(self._url)
        return (cpu_seconds(self._pid) - before) / (messages * len(readers)) * 1e6

    async def pair(self, deliveries: int, turn: int) -> tuple[float, float]:
        """Return the mean CPU time per delivery of slices with metrics, and of slices without, in turns."""
        found: dict[bool, list[float]] = {True: [], False: []}
        for n in range(SLICES):
            watched = (n + n // 2 + turn) % 2 == 0  # on, off, off, on: a drift affects both alike
            page = watched and len(found[True]) % PAGE_EVERY == 0
            found[watched].append(await self.slice(deliveries, watched=watched, page=page))
        return sum(found[True]) / len(found[True]), sum(found[False]) / len(found[False])


async def run(start_lab: StartLab, *, messages: int | None = None) -> list[Result]:
    """Compare a server with metrics with the same server without.

    Parameters
    ----------
    start_lab : StartLab
        Not used: the benchmark starts its own server, whose metrics can be switched.
    messages : int, optional
        Deliveries in one slice, for a trial run: slices under a tenth of a second prove nothing.

    Returns
    -------
    list of Result
        CPU time per delivery, for each size of a room, with the ratio's 95 % interval over the pairs.
    """
    raise_nofile()
    token = secrets.token_urlsafe(16)
    child = Child.module(
        "server with metrics switch",
        "rtlab.bench.server_with_metrics_switch",
        "--port",
        "0",
        "--heartbeat",
        "3600",
        token=token,
    )
    results: list[Result] = []
    try:
        place = f"127.0.0.1:{await child.announced(START_TIMEOUT)}"
        async with MetricsReader(token) as pages:
            await pages.read(f"http://{place}")  # the first read imports the code that makes the page
            for size in READERS:
                async with gather_readers(f"ws://{place}/ws", size) as readers:
                    switched = _Switched(child.pid, f"http://{place}", readers, pages)
                    values: list[list[float]] = [[], []]
                    for turn in range(REPEATS + 1):
                        pair = await switched.pair(messages or DELIVERIES[size], turn)
                        if turn:
                            for side, value in zip(values, pair, strict=True):
                                side.append(value)
                metric = f"server CPU per delivery, room of {size}, watched"
                row = Result.paired("metrics", metric, values[0], "µs", "not counting", values[1])
                results.append(msgspec.structs.replace(row, at_most=LIMIT))
    finally:
        await child.stop(5.0)
    return results
