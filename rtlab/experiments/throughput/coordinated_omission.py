"""One freeze of the path, measured by a closed-loop and an open-loop tester at the same time.

Both clients intend to send requests at the same rate through the fault proxy, which stalls once. The
closed loop waits for each answer before its next request, as most load generators do.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError, NotConnected
from rtlab.measure.load_generator import send_on_schedule
from rtlab.processes.owned_tasks import together, until_stopped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab
    from rtlab.measure.recorder import Recorder

__all__ = ["FreezeRun", "ask_through_freeze"]


class FreezeRun(NamedTuple):
    """Latencies that the two testers measured during the same run.

    Parameters
    ----------
    closed, open : array
        Latencies in seconds, in the order of the requests.
    closed_at, open_at : array
        When each request was sent (closed) or due (open), in seconds since the run began.
    freeze : float
        Duration of the freeze in seconds, measured between the proxy's confirmations.
    frozen_at : float
        Start of the freeze in seconds since the run began; NaN without a freeze.
    seconds : float
        Seconds for which both testers sent requests.
    """

    closed: NDArray[np.float64]
    open: NDArray[np.float64]
    closed_at: NDArray[np.float64]
    open_at: NDArray[np.float64]
    freeze: float
    frozen_at: float
    seconds: float

    def __repr__(self) -> str:
        return f"<FreezeRun: {len(self.closed):,} samples closed, {len(self.open):,} open>"


async def ask_through_freeze(
    lab: Lab,
    *,
    rate: float = 100,
    seconds: float = 3.0,
    freeze: float = 1.0,
    recorder: Recorder | None = None,
    stopped: asyncio.Event | None = None,
) -> FreezeRun | None:
    """Send requests in a closed and in an open loop, and freeze the path to the server once.

    Parameters
    ----------
    lab : Lab
        A lab with a fault proxy.
    rate : float
        Requests per second that each tester intends to send.
    seconds, freeze : float
        Duration of the run and of the freeze in seconds; a `freeze` of 0 means none.
    recorder : Recorder, optional
        Receives a sample for each answer, in the series ``"closed loop"`` and ``"open loop"``.
    stopped : asyncio.Event, optional
        Setting this event ends the run early.

    Returns
    -------
    FreezeRun or None
        None if the run was stopped.

    Raises
    ------
    ValueError
        When the freeze is not shorter than 0.8 · `seconds`.
    LabError
        When answers are lost, or the connection is.
    """
    if not 0 <= freeze < 0.8 * seconds:
        raise ValueError(f"expected 0 <= freeze < 0.8 · seconds, got {freeze!r} of {seconds!r}")
    if recorder is not None:
        for name in ("closed loop", "open loop"):
            recorder.add_series(name, round_trip=True)
    try:
        return await until_stopped(_run(lab, rate, seconds, freeze, recorder), stopped)
    except TimeoutError as error:
        raise LabError(
            "expected all answers in time: `await lab.faults.restore()`, and run it again"
        ) from error
    except NotConnected as error:
        raise LabError(f"a tester lost the server, see `lab.check()`: {error}") from error


async def _run(lab: Lab, rate: float, seconds: float, freeze: float, recorder: Recorder | None) -> FreezeRun:
    times = np.arange(round(rate * seconds)) / rate
    frozen, frozen_at = 0.0, math.nan

    def seen(due: float) -> None:
        if recorder is not None:
            recorder.record("open loop", due)

    async def stall() -> None:
        nonlocal frozen, frozen_at
        await asyncio.sleep(0.4 * (seconds - freeze))
        if not freeze:
            return
        async with lab.faults.stall():
            frozen_at = time.monotonic()
            await asyncio.sleep(freeze)
        frozen = time.monotonic() - frozen_at

    one, other = (
        WebSocketConnection(lab.faults.ws_url, max_reconnect_attempts=0, heartbeat=None) for _ in range(2)
    )
    async with asyncio.timeout(seconds + 15), one, other:
        began = time.monotonic()
        results: list[Any] = await together(
            _closed_loop(one, rate, seconds, recorder), send_on_schedule(other, times, seen=seen), stall()
        )
    (asked, took), schedule, _ = results
    return FreezeRun(
        took, schedule.latency, asked - began, schedule.due - began, frozen, frozen_at - began, seconds
    )


async def _closed_loop(
    conn: Connection, rate: float, seconds: float, recorder: Recorder | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when each request was sent, on the monotonic clock, and how long its answer took."""
    at: list[float] = []
    took: list[float] = []
    end = time.monotonic() + seconds
    while (asked := time.monotonic()) < end:
        await conn.request("echo", "closed", timeout=seconds + 10)
        at.append(asked)
        took.append(time.monotonic() - asked)
        if recorder is not None:
            recorder.record("closed loop", asked)
        await asyncio.sleep(max(0.0, asked + 1 / rate - time.monotonic()))
    return np.array(at), np.array(took)
