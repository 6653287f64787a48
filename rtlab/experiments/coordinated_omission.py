"""One freeze, seen by a closed loop and by an open loop at the same time.

Both clients want to ask so many times a second, through the fault proxy; for a moment it lets nothing
through. The closed loop waits for each answer before it asks again, as most load generators do.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.measure.open_loop import send_on_schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab
    from rtlab.measure.recorder import Recorder

__all__ = ["FreezeRun", "ask_through_freeze"]


class FreezeRun(NamedTuple):
    """What two testers saw of the same seconds.

    Parameters
    ----------
    closed, open : array
        Latencies, seconds, in the order of asking.
    freeze : float
        Seconds that nothing came through, as the proxy's own answers tell.
    seconds : float
        How long both asked.
    """

    closed: NDArray[np.float64]
    open: NDArray[np.float64]
    freeze: float
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
) -> FreezeRun:
    """Ask in a closed loop and in an open one, and freeze the path between them and the server once.

    Parameters
    ----------
    lab : Lab
        With its fault proxy.
    rate : float
        Questions per second that each wants to ask.
    seconds, freeze : float
        How long, and how much of it nothing comes through; 0 for none.
    recorder : Recorder, optional
        Gets a sample as each answer arrives: series ``"closed loop"`` and ``"open loop"``.

    Returns
    -------
    FreezeRun

    Raises
    ------
    ValueError
        When the freeze does not fit into the time.
    LabError
        When answers are lost.
    """
    if not 0 <= freeze < 0.8 * seconds:
        raise ValueError(f"expected 0 <= freeze < 0.8 · seconds, got {freeze!r} of {seconds!r}")
    record = recorder.record if recorder is not None else None
    if recorder is not None:
        for name in ("closed loop", "open loop"):
            recorder.add_series(name, round_trip=True)
    times = np.arange(round(rate * seconds)) / rate
    frozen = 0.0

    async def stall() -> None:
        nonlocal frozen
        await asyncio.sleep(0.4 * (seconds - freeze))
        if not freeze:
            return
        async with lab.faults.stall():
            began = time.monotonic()
            await asyncio.sleep(freeze)
        frozen = time.monotonic() - began

    one, other = (
        WebSocketConnection(lab.faults.ws_url, max_reconnect_attempts=0, heartbeat=None) for _ in range(2)
    )
    try:
        async with asyncio.timeout(seconds + 15), one, other, asyncio.TaskGroup() as group:
            asking = group.create_task(_closed_loop(one, rate, seconds, recorder))
            sending = group.create_task(
                send_on_schedule(
                    other, times, seen=None if record is None else lambda due: record("open loop", due)
                )
            )
            group.create_task(stall())
    except TimeoutError as error:
        raise LabError(
            "expected all answers in time: `await lab.faults.restore()`, and run it again"
        ) from error
    return FreezeRun(asking.result(), sending.result().latency, frozen, seconds)


async def _closed_loop(
    conn: Connection, rate: float, seconds: float, recorder: Recorder | None
) -> NDArray[np.float64]:
    took: list[float] = []
    end = time.monotonic() + seconds
    while (asked := time.monotonic()) < end:
        await conn.request("echo", "closed", timeout=seconds + 10)
        took.append(time.monotonic() - asked)
        if recorder is not None:
            recorder.record("closed loop", asked)
        await asyncio.sleep(max(0.0, asked + 1 / rate - time.monotonic()))
    return np.array(took)
