"""A sweep of batching on a real server: delay and frame size for rates × waits × sizes, open loop.

::

    schedule ── batcher ── connection ── server (timestamps each message)

The waiting time of messages is measured twice: in the batcher when each batch is sent, and from the
server's timestamps, minus the transit of messages sent without a batcher at the same time and rate. This
module does not use the closed-form models.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

import numpy as np

from rtlab.capture.measurement_retry import again_while_busy
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError, MachineBusy, NotConnected
from rtlab.measure.load_generator import OpenLoopRun, poisson_times, send_on_schedule
from rtlab.measure.observed_batch_window import ObservedBatchWindow
from rtlab.processes.owned_tasks import together

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab

__all__ = ["Batcher", "SweepPoint", "sweep_batching"]

#: Seconds over which a cell's connections spread their start; simultaneous flushes would delay each other.
_SPREAD: Final = 0.2
#: Share of T by which timers may be late. Later timers bunch the arrivals: no longer a Poisson process.
_LATE: Final = 0.2
#: Seconds by which at most a tenth of a cell's messages may leave late: else a stall sent them together.
_BEHIND: Final = 0.05


class Batcher(Protocol):
    """The methods that the sweep needs of a batcher, such as `rtlab.MessageBatcher`."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: Any) -> None: ...
    async def send(self, type: str, payload: Any = None) -> object: ...


#: Messages of a batch, their mean wait, and how late its timer fired (None if the batch was full); seconds.
_Left = tuple[int, float, float | None]


class SweepPoint(NamedTuple):
    """What was measured at one rate λ, one wait T and one size B.

    Parameters
    ----------
    rate, wait, limit : float, float, int
        λ per second, T in seconds, B in messages.
    messages : int
        Number of messages sent.
    per_frame : float
        Mean number of messages in a frame.
    delay : float
        Mean seconds that a message waited until its batch was sent.
    handled : float
        Mean added delay by the server's timestamps, in seconds. It includes the longer time that a frame
        with many messages takes to write, read and handle.
    late : float
        Mean seconds by which T was exceeded, over the batches that the timer sent: an event loop's timers
        fire in whole milliseconds, and later when the loop is busy. 0 if all batches were full.
    """

    rate: float
    wait: float
    limit: int
    messages: int
    per_frame: float
    delay: float
    handled: float
    late: float


async def sweep_batching(
    lab: Lab,
    make_batcher: Callable[[Connection, ObservedBatchWindow], Batcher],
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
        A running lab, whose server receives the messages.
    make_batcher : callable
        Makes a batcher from a connection and a window.
    rates, waits, limits : sequences
        λ per second, T in seconds, B in messages.
    messages : int
        Smallest number of messages per cell; at a low rate several connections share them.
    seconds : float
        Duration of the measurement in seconds.
    seed : int
        Seed of the random arrival times.

    Returns
    -------
    list of SweepPoint
        Sorted by rate, wait and limit.

    Raises
    ------
    LabError
        When messages were lost, a connection was, or the measurement takes much too long.
    MachineBusy
        When this process's timers were late by more than a fifth of T, or a tenth of a cell's messages
        left more than 50 ms late, also at the third attempt.

    Examples
    --------
    ::

        def make(conn, window):
            return MessageBatcher(conn, window=window)

        points = await sweep_batching(lab, make, rates=[100], waits=[0.05], limits=[5, 20])
    """
    return await again_while_busy(
        lambda _attempt: _sweep(lab, make_batcher, rates, waits, limits, messages, seconds, seed)
    )


async def _sweep(
    lab: Lab,
    make_batcher: Callable[[Connection, ObservedBatchWindow], Batcher],
    rates: Sequence[float],
    waits: Sequence[float],
    limits: Sequence[int],
    messages: int,
    seconds: float,
    seed: int,
) -> list[SweepPoint]:
    """Measure once."""
    cells = [(rate, None) for rate in rates] + [
        (rate, (limit, wait)) for rate, wait, limit in product(rates, waits, limits)
    ]
    opened = asyncio.Barrier(sum(_clients(rate, messages, seconds) for rate, _ in cells))
    rng = np.random.default_rng(seed)

    async def client(rate: float, window: ObservedBatchWindow | None) -> OpenLoopRun:
        times = poisson_times(rate, max(1, round(rate * seconds)), int(rng.integers(1 << 32)))
        times += rng.random() * _SPREAD
        async with WebSocketConnection(lab.ws_url, max_reconnect_attempts=0) as conn:
            await opened.wait()  # handshakes would delay the event loop's timers
            if window is None:
                return await send_on_schedule(conn, times)
            async with make_batcher(conn, window) as batcher:
                return await send_on_schedule(conn, times, batcher.send)

    left: list[list[_Left]] = [[] for _ in cells]

    async def cell(rate: float, window: tuple[int, float] | None, seen: list[_Left]) -> list[OpenLoopRun]:
        clients = range(_clients(rate, messages, seconds))
        return await together(*(client(rate, window and _watched(*window, seen)) for _ in clients))

    try:
        async with asyncio.timeout(seconds + 30):
            runs = await together(
                *(cell(rate, window, seen) for (rate, window), seen in zip(cells, left, strict=True))
            )
    except TimeoutError as error:
        raise LabError(
            f"expected a sweep of about {seconds:g} s, got none within {seconds + 30:g} s: see `lab.check()`"
        ) from error
    except NotConnected as error:
        raise LabError(f"a client of the sweep lost the server, see `lab.check()`: {error}") from error
    plain: dict[float, float] = {}
    points: list[SweepPoint] = []
    for (rate, window), found, batches in zip(cells, runs, left, strict=True):
        behind = np.quantile(np.concatenate([run.sent - run.due for run in found]), 0.9)
        if behind > _BEHIND:
            raise MachineBusy(
                f"expected messages that leave when they are due, got a tenth that left {behind:.2f} s late "
                "or more: close what needs the processor, and run the cell again"
            )
        up = np.concatenate([run.way_up for run in found])
        if window is None:
            plain[rate] = float(up.mean())
            continue
        limit, wait = window
        waited = sum(count * delay for count, delay, _ in batches) / len(up)
        late = [seconds for *_, seconds in batches if seconds is not None]
        points.append(
            SweepPoint(
                rate,
                wait,
                limit,
                len(up),
                len(up) / len(batches),
                waited,
                float(up.mean()) - plain[rate],
                float(np.mean(late)) if late else 0.0,
            )
        )
    latest = max((point.late / point.wait for point in points), default=0.0)
    if latest > _LATE:
        raise MachineBusy(
            f"expected timers that keep T, got some that took {100 * latest:.0f} % longer: "
            "close what needs the processor, and run the cell again"
        )
    return points


def _watched(limit: int, wait: float, seen: list[_Left]) -> ObservedBatchWindow:
    def left(messages: int, delay: float, late: float | None) -> None:
        seen.append((messages, delay, late))

    return ObservedBatchWindow(batch_size=limit, flush_interval=wait, left=left)


def _clients(rate: float, messages: int, seconds: float) -> int:
    return math.ceil(messages / max(1, round(rate * seconds)))
