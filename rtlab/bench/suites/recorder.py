"""``rtlab bench recorder``: how fast samples can be appended, and whether a live feed loses any."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.measure.recorder import Recorder

__all__ = ["run"]

REPEATS: Final = 7
SAMPLES: Final = 500_000
MIN_RATE: Final = 500_000
LIVE_RATE: Final = 10_000
LIVE_SECONDS: Final = 3
TIMEOUT: Final = 30.0


def _append() -> float:
    recorder = Recorder()
    recorder.add_series("websocket")
    record = recorder.record
    began = time.perf_counter()
    for n in range(SAMPLES):
        record("websocket", n * 1e-3, n * 1e-3, 64)
    return SAMPLES / (time.perf_counter() - began)


def _list_of_dicts() -> float:
    """Return the samples per second of the peer, a list of dicts, as one would first write it."""
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for n in range(SAMPLES):
        row = {"series": "websocket", "ts": n * 1e-3, "sent": n * 1e-3, "size": 64}
        row["received"] = time.monotonic()
        rows.append(row)
    return SAMPLES / (time.perf_counter() - began)


async def _live(start_lab: StartLab) -> tuple[float, float]:
    """Return how many messages of a feed the recorder misses, and how many arrived per second."""
    lab = await start_lab()
    try:
        async with WebSocketConnection(lab.ws_url) as conn, Recorder() as recorder:
            last = asyncio.Event()
            recorder.attach(conn, "websocket")
            conn.on("feed", lambda message: message.payload.get("last") and last.set())
            count = LIVE_RATE * LIVE_SECONDS
            await conn.request("feed", {"rate": LIVE_RATE, "count": count, "size": 32})
            try:
                async with asyncio.timeout(TIMEOUT):
                    await last.wait()
            except TimeoutError:
                raise LabError(f"the feed did not end within {TIMEOUT:g} s") from None
            received = recorder.since().rows["received"]
            return float(count - len(recorder)), (len(received) - 1) / float(received[-1] - received[0])
    finally:
        await lab.stop()


async def run(start_lab: StartLab) -> list[Result]:
    """Measure the recorder's hot path, and its completeness at 10,000 samples/s.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server sends the feed.

    Returns
    -------
    list of Result
    """
    turns = [(_append(), _list_of_dicts()) for _ in range(REPEATS + 1)][1:]
    rates, peers = [ours for ours, _ in turns], [theirs for _, theirs in turns]
    live = [await _live(start_lab) for _ in range(5)]
    missing, reached = [lost for lost, _ in live], [rate for _, rate in live]
    return [
        Result.of("recorder", "samples appended", rates, "samples/s", "limit", [MIN_RATE]),
        Result.of("recorder", "samples appended", rates, "samples/s", "list of dicts", peers),
        Result.of("recorder", f"missing of {LIVE_RATE:,}/s live", missing, "samples"),
        # Shows that the feed ran at its full rate: a slow feed would lose nothing either way.
        Result.of("recorder", "live rate", reached, "samples/s", "asked for", [LIVE_RATE]),
    ]
