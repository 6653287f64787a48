"""``rtlab bench faults``: does the fault proxy do what it says, and nothing else?

Delay is the round trip with a ``latency`` toxic, less the round trip through the
same connection without it. Throughput is measured with asyncio streams at both
ends, as in the lab; two ends that only copy memory would lose more than half of
theirs to any relay in user space.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final

from rtlab.bench.peers.raw_stream import sending, serving
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.faults.client.fault_client import FaultClient

__all__ = ["bench_faults", "run"]

REPEATS: Final = 5
DELAYS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)
RATES_KB_S: Final = (50, 1_000, 10_000)
DELAY_LIMIT_MS: Final = 1.5
RATE_LIMIT: Final = 0.05
BULK_BYTES: Final = 256 * 1024 * 1024
CONNECTIONS: Final = 1_000
TIMEOUT: Final = 120.0


class _Echo:
    """One connection through the proxy to the far end, which echoes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, faults: FaultClient) -> _Echo:
        return cls(*await asyncio.open_connection(faults.host, faults.port))

    async def round_trip(self, data: bytes = b"Eping") -> float:
        """Return the seconds until all of `data` is back."""
        async with asyncio.timeout(TIMEOUT):
            began = time.perf_counter()
            self._writer.write(data)
            await self._reader.readexactly(len(data))
            return time.perf_counter() - began

    def close(self) -> None:
        self._writer.transport.abort()


async def _delay_errors(faults: FaultClient, echo: _Echo, repeats: int) -> list[Result]:
    """Measure the error of each delay, in ms; the samples begin at different phases of a millisecond."""
    bare = statistics.median([await echo.round_trip() for _ in range(200)])
    results: list[Result] = []
    for delay in DELAYS_MS:
        errors: list[float] = []
        async with faults.latency(delay):
            for turn in range(max(7, repeats * 20 // (1 + delay // 20))):
                errors.append(abs(await echo.round_trip() - bare - delay / 1000) * 1000)
                await asyncio.sleep(0.0013 * (turn % 7))
        metric = f"delay error at {delay} ms"
        results.append(Result.of("faults", metric, errors, "ms", "limit", [DELAY_LIMIT_MS]))
    return results


async def _rate_errors(faults: FaultClient, echo: _Echo, repeats: int) -> list[Result]:
    """Measure the relative error of each bandwidth, in %, without its sign."""
    results: list[Result] = []
    for rate in RATES_KB_S:
        size = rate * 500  # half a second
        errors: list[float] = []
        async with faults.bandwidth(rate):
            for _ in range(repeats):
                took = await echo.round_trip(b"E" * size)
                errors.append(abs(size / took / (rate * 1000) - 1) * 100)
        metric = f"bandwidth error at {rate} KB/s"
        results.append(Result.of("faults", metric, errors, "%", "limit", [RATE_LIMIT * 100]))
    return results


async def _throughput(faults: FaultClient, far_end: int, repeats: int) -> Result:
    """Measure bulk throughput through the proxy without a toxic, beside a direct connection, in turns."""
    through: list[float] = []
    direct: list[float] = []
    for turn in range(repeats + 1):
        for port, values in ((faults.port, through), (far_end, direct)):
            rate = await sending(port, BULK_BYTES)
            if turn:
                values.append(rate / 1e6)
    return Result.of("faults", "throughput without toxics", through, "MB/s", "direct", direct)


async def _connections_at_once(faults: FaultClient) -> Result:
    """Count how many of the connections that are open at once echo."""
    echoes: list[_Echo] = []
    try:
        for _ in range(CONNECTIONS // 100):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_Echo.open(faults)) for _ in range(100)]
            echoes += [task.result() for task in tasks]
        took = await asyncio.gather(*(echo.round_trip() for echo in echoes), return_exceptions=True)
    finally:
        for echo in echoes:
            echo.close()
    alive = sum(isinstance(one, float) for one in took)
    return Result.of("faults", "connections at once", [alive], "", "limit", [CONNECTIONS])


async def bench_faults(faults: FaultClient, far_end: int, repeats: int | None = None) -> list[Result]:
    """Measure delay, rate, throughput and number of connections.

    Parameters
    ----------
    faults : FaultClient
        A proxy in front of `far_end`, already started.
    far_end : int
        Port of `rtlab.bench.peers.raw_stream`.
    repeats : int or None
        Repeats of each measurement; None means `REPEATS`.

    Returns
    -------
    list of Result
    """
    repeats = REPEATS if repeats is None else repeats
    echo = await _Echo.open(faults)
    try:
        return [
            *await _delay_errors(faults, echo, repeats),
            *await _rate_errors(faults, echo, repeats),
            await _throughput(faults, far_end, repeats),
            await _connections_at_once(faults),
        ]
    finally:
        echo.close()


async def run(start_lab: StartLab) -> list[Result]:
    """Start a lab, and measure its fault proxy.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab.

    Returns
    -------
    list of Result
    """
    lab = await start_lab(faults=True)
    try:
        api = lab.faults
        async with (
            serving() as far_end,
            FaultClient(api.api_url, lab.token, "127.0.0.1", far_end, name="bench") as faults,
        ):
            return await bench_faults(faults, far_end)
    finally:
        await lab.stop()
