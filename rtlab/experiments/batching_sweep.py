"""What batching adds and saves on the real server: rates × waits × sizes, open loop, all cells side by side.

::

    schedule ── batcher ── connection ── server (stamps what it handles)

A cell's delay is the way from `send` to the server's stamp, less the same way without a batcher, at
the same time and rate. Nothing here knows the closed forms.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

import numpy as np

from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.measure.open_loop import OpenLoopRun, poisson_times, send_on_schedule

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab

__all__ = ["Batcher", "SweepPoint", "sweep_batching"]

#: Seconds within which a cell's connections begin: flushes that fall on one moment would wait for each other.
_SPREAD: Final = 0.2


class _Counts(Protocol):
    @property
    def batches(self) -> int: ...
    @property
    def messages(self) -> int: ...


class Batcher(Protocol):
    """What the sweep needs of a batcher, such as `rtlab.MessageBatcher`."""

    @property
    def stats(self) -> _Counts: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: Any) -> None: ...
    async def send(self, type: str, payload: Any = None) -> object: ...


class SweepPoint(NamedTuple):
    """What was measured at one rate λ, one wait T and one size B.

    Parameters
    ----------
    rate, wait, limit : float, float, int
        λ per second, T in seconds, B.
    messages : int
        How many were sent.
    per_frame : float
        Messages in a frame, in the mean.
    delay : float
        Seconds that batching added to a message, in the mean.
    late : float
        Seconds by which this process's own timers were late meanwhile, in the mean.
    """

    rate: float
    wait: float
    limit: int
    messages: int
    per_frame: float
    delay: float
    late: float


async def sweep_batching(
    lab: Lab,
    make_batcher: Callable[[Connection, int, float], Batcher],
    *,
    rates: Sequence[float],
    waits: Sequence[float],
    limits: Sequence[int],
    messages: int = 1000,
    seconds: float = 3.0,
    seed: int = 0,
) -> list[SweepPoint]:
    """Measure all combinations at the same time, each on connections of its own.

    Parameters
    ----------
    lab : Lab
        Whose server.
    make_batcher : callable
        Makes a batcher from a connection, B and T.
    rates, waits, limits : sequences
        λ per second, T in seconds, B.
    messages : int
        At least so many in each cell: at a low rate, several connections share them.
    seconds : float
        How long.
    seed : int
        Of the arrivals.

    Returns
    -------
    list of SweepPoint
        Sorted by rate, wait and limit.

    Raises
    ------
    LabError
        When messages were lost, or it takes much too long.

    Examples
    --------
    ::

        def make(conn, limit, wait):
            return MessageBatcher(conn, batch_size=limit, flush_interval=wait)

        points = await sweep_batching(lab, make, rates=[100], waits=[0.05], limits=[5, 20])
    """
    cells = [(rate, None) for rate in rates] + [
        (rate, (limit, wait)) for rate, wait, limit in product(rates, waits, limits)
    ]
    opened = asyncio.Barrier(sum(_clients(rate, messages, seconds) for rate, _ in cells))
    rng = np.random.default_rng(seed)

    async def client(rate: float, window: tuple[int, float] | None) -> tuple[OpenLoopRun, int]:
        times = poisson_times(rate, max(1, round(rate * seconds)), int(rng.integers(1 << 32)))
        times += rng.random() * _SPREAD
        async with WebSocketConnection(lab.ws_url, max_reconnect_attempts=0) as conn:
            await opened.wait()  # handshakes make the loop late
            if window is None:
                return await send_on_schedule(conn, times), len(times)
            async with make_batcher(conn, *window) as batcher:
                run = await send_on_schedule(conn, times, batcher.send)
            return run, batcher.stats.batches

    async with asyncio.timeout(seconds + 30), asyncio.TaskGroup() as group:
        tasks = [
            [group.create_task(client(*cell)) for _ in range(_clients(cell[0], messages, seconds))]
            for cell in cells
        ]
    plain: dict[float, float] = {}
    points: list[SweepPoint] = []
    for (rate, window), found in zip(cells, tasks, strict=True):
        runs = [task.result()[0] for task in found]
        frames = sum(task.result()[1] for task in found)
        up = np.concatenate([run.way_up for run in runs])
        if window is None:
            plain[rate] = float(up.mean())
            continue
        late = float(np.concatenate([run.sent - run.due for run in runs]).mean())
        limit, wait = window
        delay = float(up.mean()) - plain[rate]
        points.append(SweepPoint(rate, wait, limit, len(up), len(up) / frames, delay, late))
    return points


def _clients(rate: float, messages: int, seconds: float) -> int:
    return math.ceil(messages / max(1, round(rate * seconds)))
