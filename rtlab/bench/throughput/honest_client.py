"""An honest client in a process of its own: ``python -m rtlab.bench.throughput.honest_client URL SECONDS``.

It requests echoes on a schedule, over a blocking socket, and prints its round trips in seconds as a JSON
array. Being a separate process, it is not delayed by the work of the benchmark's own process.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Final

from websockets.sync.client import connect

__all__ = ["RATE", "main", "round_trips"]

#: Echoes per second.
RATE: Final = 100.0
_TIMEOUT: Final = 30.0


async def round_trips(url: str, seconds: float) -> list[float]:
    """Run the client in a child process, and return its round trips.

    Parameters
    ----------
    url : str
        The server's WebSocket URL.
    seconds : float
        How long to send echoes, in seconds.
    """
    command = (sys.executable, "-P", "-m", "rtlab.bench.throughput.honest_client", url, str(seconds))
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds + _TIMEOUT):
            printed, _ = await child.communicate()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    return json.loads(printed)


def main(url: str, seconds: float) -> list[float]:
    """Return round trips in seconds; those that a late echo delays count from when they were due."""
    found: list[float] = []
    with connect(url, compression=None, proxy=None) as ws:
        ws.recv(_TIMEOUT)  # the welcome
        begun, late = time.monotonic(), False
        for n in range(max(1, round(seconds * RATE))):
            due = begun + n / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            # A late sleep does not count. A late echo does: the round trips that it delays start when due.
            began = due if late else time.monotonic()
            ws.send('{"type":"echo","payload":1}')
            while '"echo"' not in str(ws.recv(_TIMEOUT)):
                pass
            found.append(time.monotonic() - began)
            late = time.monotonic() > due + 1 / RATE
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], float(sys.argv[2]))))
