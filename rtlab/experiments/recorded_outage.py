"""A WebSocket through a slow spell and a cut, recorded: for panels where no socket may be opened.

``python -m rtlab.experiments.recorded_outage --save data/runs/cut.jsonl`` makes the recorded run again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

from rtlab.client.connection import State
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import NotConnected
from rtlab.lab.lab import Lab
from rtlab.measure.fault_marks import FaultMarks
from rtlab.measure.provenance import provenance
from rtlab.policies.backoff import Constant
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping
from rtlab.testing.recordings.live_connection_recorder import WireRecording

__all__ = ["RECORDED", "record_run"]

#: The recorded run in ``data/``.
RECORDED: Final = "runs/cut.jsonl"
_COMMAND: Final = f"python -m rtlab.experiments.recorded_outage --save data/{RECORDED}"
_FEED_RATE: Final = 20
_ECHO_PERIOD: Final = 0.2


async def record_run(*, seconds: float = 8.0) -> WireRecording:
    """Record a feed and echoes through the fault proxy, with a longer round trip and then a cut.

    Parameters
    ----------
    seconds : float
        Duration of the run. After a quarter of it the round trip grows by 80 ms, after a half it is back to
        normal, and after five eighths the connection is cut.

    Returns
    -------
    WireRecording
        The recording, which also contains the proxy's faults as entries.
    """
    async with Lab(faults=True) as lab:
        conn = WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.5), heartbeat=Ping(1.0, 5.0))
        recording = WireRecording(conn, about=provenance(_COMMAND))
        async with FaultMarks(lab.faults, recording), conn:
            await conn.request("feed", {"rate": _FEED_RATE, "count": round(_FEED_RATE * seconds), "size": 16})
            async with asyncio.TaskGroup() as group:
                echoes = group.create_task(_send_echoes(conn))
                async with lab.faults.rtt(0):
                    await asyncio.sleep(seconds / 4)
                    await lab.faults.rtt(80)
                    await asyncio.sleep(seconds / 4)
                    await lab.faults.rtt(0)
                    await asyncio.sleep(seconds / 8)
                    await lab.faults.cut()
                    await asyncio.sleep(seconds * 3 / 8)
                echoes.cancel()
        recording.stop()
    return recording


async def _send_echoes(conn: WebSocketConnection) -> None:
    number = 0
    while True:
        if conn.state is State.CONNECTED:
            number += 1
            with contextlib.suppress(NotConnected):  # cut since the check above
                await conn.send("echo", {"n": number}, ts=time.monotonic())
        await asyncio.sleep(_ECHO_PERIOD)


def main() -> None:
    """Record the run, and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, required=True, metavar="FILE")
    path: Path = parser.parse_args().save
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = asyncio.run(record_run())
    print(f"{recording.save(path)}: {len(recording.journal)} entries")


if __name__ == "__main__":
    main()
