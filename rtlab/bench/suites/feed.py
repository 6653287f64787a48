"""``rtlab bench feed``: how late the server sends the messages of a feed, compared with its schedule."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import numpy as np

from rtlab.bench.peers.asyncio_sleep_schedule import latenesses
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection

__all__ = ["run"]

REPEATS: Final = 5
#: Messages per second; messages; limits for the median and the 99th percentile, in ms (None: reported only).
RATES: Final = (
    (50, 200, None, None),
    (200, 600, 0.15, 0.5),
    (1000, 3000, 0.15, 0.5),
)
TIMEOUT: Final = 30.0


async def _feed(conn: WebSocketConnection, rate: int, count: int) -> list[float]:
    late: list[float] = []
    last = asyncio.Event()

    def take(message: Any) -> None:
        late.append(message.sent - message.ts)
        if message.payload.get("last"):
            last.set()

    conn.on("feed", take)
    try:
        await conn.request("feed", {"rate": rate, "count": count})
        async with asyncio.timeout(count / rate + TIMEOUT):
            await last.wait()
    finally:
        conn.off("feed", take)
    return late


async def run(start_lab: StartLab) -> list[Result]:
    """Measure the lateness of a feed, in turns with a schedule that is kept with ``asyncio.sleep``.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server feeds.

    Returns
    -------
    list of Result
    """
    lab = await start_lab()
    results: list[Result] = []
    try:
        async with WebSocketConnection(lab.ws_url) as conn:
            for rate, count, *limits in RATES:
                ours: list[list[float]] = []
                peers: list[list[float]] = []
                for _ in range(REPEATS):
                    ours.append(await _feed(conn, rate, count))
                    peers.append(await latenesses(rate, count))
                for percent, limit in zip((50, 99), limits, strict=True):
                    metric = f"lateness p{percent} at {rate:,}/s"
                    values = [float(np.percentile(turn, percent)) * 1e3 for turn in ours]
                    slept = [float(np.percentile(turn, percent)) * 1e3 for turn in peers]
                    results.append(Result.of("feed", metric, values, "ms", "asyncio.sleep", slept))
                    if limit is not None:
                        results.append(Result.of("feed", metric, values, "ms", "limit", [limit]))
    finally:
        await lab.stop()
    return results
