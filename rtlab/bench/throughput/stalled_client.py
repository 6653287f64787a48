"""One more client beside five hundred reads nothing: do the others wait, and how much is kept for it?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final

import msgspec
import numpy as np
import psutil

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.throughput.epoll_room_readers import ROOM, CountingReaders, counting_readers
from rtlab.bench.throughput.process_reading import BENCH
from rtlab.measure.kernel_sockets import bytes_in_kernel
from rtlab.processes.descriptor_limit import raise_nofile

__all__ = ["stalled_client"]

REPEATS: Final = 9
READERS: Final = 500
MESSAGES: Final = 300
#: Bytes of each payload: large, so that the stalled client's socket buffers fill up, and then its queue.
SIZE: Final = 4_000
#: Seconds between two publishes: the server must keep up, or the delay of its own backlog is measured.
PERIOD: Final = 0.02
#: Most bytes that the lab's server queues for one client; the transport and the kernel hold more beside.
QUEUE_BYTES: Final = 128 * 1024
_SLACK_BYTES: Final = 1024 * 1024


async def stalled_client(
    start_lab: StartLab,
    *,
    readers: int = READERS,
    messages: int = MESSAGES,
    repeats: int = REPEATS,
    period: float = PERIOD,
) -> list[Result]:
    """Compare the other clients' p99 with and without one stalled client, and measure its memory.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab; its queue for each client is bounded, and drops the oldest messages.
    readers, messages, repeats : int
        Number of readers, messages in a reading, and number of readings.
    period : float
        Seconds between two messages.
    """
    raise_nofile()
    lab = await start_lab(heartbeat=3600.0, overflow="drop_oldest", write_limit_bytes=QUEUE_BYTES)
    text = json.dumps({"type": "chat", "roomId": ROOM, "payload": "x" * SIZE}).encode()
    port = int(lab.url.rpartition(":")[2])

    def measure() -> tuple[list[list[float]], list[float], list[float]]:
        late: list[list[float]] = [[], []]
        grown: list[float] = []
        kernel: list[float] = []
        server = psutil.Process(lab.pids[0])
        with counting_readers(lab.url, readers) as others:
            _p99(others, text, messages, period)
            for turn in range(repeats):
                for which in (0, 1) if turn % 2 else (1, 0):
                    with ExitStack() as held:
                        before = server.memory_info().rss
                        system = bytes_in_kernel(port)
                        if which:
                            held.enter_context(_stalled(lab.url))
                        late[which].append(_p99(others, text, messages, period))
                        if which:
                            grown.append((server.memory_info().rss - before) / 1024)
                            kernel.append((bytes_in_kernel(port) - system) / 1024)
                    others.settle()
        return late, grown, kernel

    try:
        late, grown, kernel = await asyncio.to_thread(measure)
    finally:
        await lab.stop()
    p99 = Result.paired(
        BENCH, f"p99 of {readers} clients, one more stalled", late[1], "ms", "none stalled", late[0]
    )
    bound = (QUEUE_BYTES + _SLACK_BYTES) / 1024
    memory = Result.of(
        BENCH, "server memory that one stalled client adds", grown, "KiB", "queue + 1 MiB", [bound]
    )
    return [
        msgspec.structs.replace(p99, at_most=1.2),
        msgspec.structs.replace(memory, at_most=1.0),
        Result.of(BENCH, "bytes in the kernel's buffers for it", kernel, "KiB"),
    ]


@contextmanager
def _stalled(url: str) -> Generator[CountingReaders]:
    """Hold one client that reads nothing after it has joined the room."""
    with counting_readers(url, 1) as group:
        yield group


def _p99(others: CountingReaders, text: bytes, messages: int, period: float) -> float:
    """Publish on a schedule; return the p99 of the time from a publish until all have received it, in ms."""
    taken: list[float] = []
    due = time.perf_counter()
    for _ in range(messages):
        due += period
        time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        others.publish([text])
        taken.append(1e3 * (time.perf_counter() - began))
    return float(np.percentile(taken, 99))
