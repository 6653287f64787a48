"""Compares the four transports, measured in turn on one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rtlab.capture.wire_cost_measurement import measure_wire
from rtlab.client.client_factory_by_transport import check_transports
from rtlab.experiments.transports.comparison_result import Comparison, Turn
from rtlab.experiments.transports.direct_or_delayed_path import NetworkPath, path_to
from rtlab.experiments.transports.feed_request import take_feed
from rtlab.measure.cpu_time import CpuWatch
from rtlab.measure.recorder import Recorder
from rtlab.processes.owned_tasks import until_stopped
from rtlab.protocol.transport_names import TRANSPORTS

if TYPE_CHECKING:
    from rtlab.capture.wire_cost_tables import WireReport
    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab

__all__ = ["OnProgress", "compare"]


#: Called with the share done, from 0 to 1, and a text that says what is being done.
OnProgress = Callable[[float, str], object]

#: Duration of one transport's turn in seconds.
_TURN: Final = 0.5
_MIN_TURNS: Final = 3
_ECHOES: Final = 10
_TIMEOUT: Final = 15.0
#: Number of messages over which wire bytes are averaged.
_WIRE_MESSAGES: Final = 12


async def compare(
    lab: Lab,
    transports: tuple[str, ...] = TRANSPORTS,
    *,
    # Load
    seconds: float = 3.0,
    rate: float = 200.0,
    size: int = 100,
    rtt_ms: float | None = None,
    # Progress and early stop
    recorder: Recorder | None = None,
    progress: OnProgress | None = None,
    stopped: asyncio.Event | None = None,
) -> Comparison:
    """Measure latency, connect time, bytes and CPU of each transport under the same load.

    The transports take turns of half a second, in rotating order, so that other work on the machine affects
    all of them alike. Each turn opens a new connection, requests some echoes one after the other, and then
    receives a feed. The server sends the feed on a fixed schedule even if delivery stalls, so a stall shows
    in every message that it delays.

    Parameters
    ----------
    lab : Lab
        A running lab.
    transports : tuple of str
        Transports to compare.
    seconds : float
        Total duration of each transport's feeds in seconds.
    rate : float
        Messages per second.
    size : int
        Bytes of each payload.
    rtt_ms : float, optional
        Milliseconds to add to each round trip; needs ``Lab(faults=True)``. TCP then goes through the fault
        proxy, and WebRTC's packets through a relay in this process. None: a direct path.
    recorder : Recorder, optional
        Receives the feed's samples, one series per transport; pass the recorder of a live plot. None uses
        a new one.
    progress : callable, optional
        Called with the share done, from 0 to 1, and a short text.
    stopped : asyncio.Event, optional
        Setting this event ends the run at once; pass ``plot.stopped``.

    Returns
    -------
    Comparison
        Its ``frame`` is the table. A run that was stopped has the results up to then, and NaN for the rest.

    Raises
    ------
    LabError
        When a feed did not end in time, or its connection was lost.

    Examples
    --------
    ::

        result = await compare(lab, seconds=5)
        result.frame
        result.plot()
    """
    check_transports(transports)
    if not (seconds > 0 and rate > 0):
        raise ValueError(f"expected seconds and rate above 0, got {seconds!r} and {rate!r}")
    kept = recorder if recorder is not None else Recorder()
    began_at = kept.position
    tell = progress if progress is not None else _silent
    turns: list[Turn] = []
    ticking = object()  # key of this user; others may keep the ticker running
    kept.loop_lag.start(ticking)
    try:
        run = _run(lab, transports, seconds, rate, size, rtt_ms, kept, tell, turns)
        wire = await until_stopped(run, stopped)
    finally:
        kept.loop_lag.stop(ticking)
    tell(1.0, "done" if wire is not None else "stopped")
    return Comparison(
        transports,
        turns,
        kept,
        wire,
        rate=rate,
        size=size,
        rtt_ms=rtt_ms,
        first_sample=began_at,
        encrypted=lab.url.startswith("https"),
    )


async def _run(
    lab: Lab,
    transports: tuple[str, ...],
    seconds: float,
    rate: float,
    size: int,
    rtt_ms: float | None,
    kept: Recorder,
    tell: OnProgress,
    turns: list[Turn],
) -> WireReport:
    """Measure all turns, appending each to `turns`; then count the wire bytes and return them."""
    rounds = max(_MIN_TURNS, round(seconds / _TURN))
    count = max(2, round(rate * seconds / rounds))
    steps, done = rounds * (len(transports) + 1) + 2, 0
    pid = lab.pids[0]
    async with path_to(lab, rtt_ms) as path:
        for number in range(rounds):
            order = [transports[(number + i) % len(transports)] for i in range(len(transports))]
            idle = await _idle(pid, min(_TURN / 2, count / rate))
            done += 1
            for name in order:
                tell(done / steps, f"turn {number + 1} of {rounds}: {name}")
                turns.append(await _turn(path, name, kept, pid, rate, size, count, idle))
                done += 1
    tell(done / steps, "bytes on the wire")
    return await measure_wire(lab, transports, size=size, count=_WIRE_MESSAGES)


def _silent(_share: float, _text: str) -> None:
    """Ignore progress: the default `OnProgress`."""


async def _idle(pid: int, seconds: float) -> tuple[float, float]:
    """Return the idle CPU use of server and client, in CPU seconds per second."""
    watch = CpuWatch(pid)
    await asyncio.sleep(seconds)
    server, client, passed = watch.read()
    return server / passed, client / passed


async def _turn(
    path: NetworkPath,
    transport: str,
    recorder: Recorder,
    pid: int,
    rate: float,
    size: int,
    count: int,
    idle: tuple[float, float],
) -> Turn:
    async with path.client(transport) as conn:
        echoes = [await _echo(conn, size) for _ in range(_ECHOES)]
        with recorder.attach(conn, transport):
            watch = CpuWatch(pid)
            await take_feed(conn, transport, rate, size, count)
            server, client, passed = watch.read()
        return Turn(
            transport=transport,
            connect=conn.stats.connect_time or 0.0,
            # The first echo is left out, because it includes one-time costs of first use.
            echoes=echoes[1:],
            messages=count,
            server_cpu=server - idle[0] * passed,
            client_cpu=client - idle[1] * passed,
        )


async def _echo(conn: Connection, size: int) -> float:
    began = time.perf_counter()
    await conn.request("echo", {"pad": "x" * size}, timeout=_TIMEOUT)
    return time.perf_counter() - began
