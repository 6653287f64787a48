"""``rtlab bench metrics``: what it costs a server to be watched.

The server as it is, its page read once for each reading (more often than once a second), and in turns
with it a server whose histograms and turn meter do nothing and that nobody asks. CPU time is read
from outside. Held against the 3 % that watching may cost.
"""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.room_readers import Readers, gather_readers
from rtlab.lab.node_metrics import MetricsReader
from rtlab.measure.cpu import cpu_seconds
from rtlab.processes.child import Child
from rtlab.processes.parent_watch import raise_nofile

__all__ = ["run"]

#: Pairs of readings; one more before them warms up.
REPEATS: Final = 31
#: In a room of one, a delivery is a client's message, and all that is done with it.
READERS: Final = (1, 200)
#: Deliveries of one reading, by the room's size: about 0.8 s of CPU time, and one scrape.
DELIVERIES: Final = {1: 5_000, 200: 60_000}
#: What a delivery may cost more: 3 % of the throughput of a server that is busy.
LIMIT: Final = 1.03
START_TIMEOUT: Final = 20.0


async def _reading(
    pid: int, readers: Readers, deliveries: int, scrape: tuple[MetricsReader, str] | None
) -> float:
    """Return the CPU time of one delivery, in µs, a scrape included."""
    messages = max(1, deliveries // len(readers))
    before = cpu_seconds(pid)
    await readers.publish(messages)
    if scrape is not None:
        reader, url = scrape
        await reader.read(url)
    return (cpu_seconds(pid) - before) / (messages * len(readers)) * 1e6


async def run(start_lab: StartLab, *, messages: int | None = None) -> list[Result]:
    """Compare a watched server with one that counts nothing.

    Parameters
    ----------
    start_lab : StartLab
        Starts the one that is watched.
    messages : int, optional
        Deliveries of one reading, for a try; what takes less than half a second judges nothing.

    Returns
    -------
    list of Result
        CPU time of a delivery, for each size of a room; the ratio has the 95 % interval over the pairs.
    """
    raise_nofile()
    lab = await start_lab(heartbeat=3600.0)
    token = secrets.token_urlsafe(16)
    bare = Child.module(
        "uncounted server", "rtlab.bench.uncounted_server", "--port", "0", "--heartbeat", "3600", token=token
    )
    results: list[Result] = []
    try:
        bare_url = f"ws://127.0.0.1:{await bare.announced(START_TIMEOUT)}/ws"
        async with MetricsReader(lab.token) as reader:
            await reader.read(lab.url)  # imports what makes the page
            for size in READERS:
                async with AsyncExitStack() as stack:
                    ours = await stack.enter_async_context(gather_readers(lab.ws_url, size))
                    theirs = await stack.enter_async_context(gather_readers(bare_url, size))
                    values: list[list[float]] = [[], []]
                    for turn in range(REPEATS + 1):
                        for which in (0, 1) if turn % 2 else (1, 0):
                            pid, readers = ((lab.pids[0], ours), (bare.pid, theirs))[which]
                            scrape = None if which else (reader, lab.url)
                            found = await _reading(pid, readers, messages or DELIVERIES[size], scrape)
                            if turn:
                                values[which].append(found)
                metric = f"server CPU per delivery, room of {size}, watched"
                row = Result.paired("metrics", metric, values[0], "µs", "not counting", values[1])
                results.append(msgspec.structs.replace(row, at_most=LIMIT))
    finally:
        await bare.stop(5.0)
        await lab.stop()
    return results
