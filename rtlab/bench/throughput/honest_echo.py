"""An honest client in a process of its own: ``python -m rtlab.bench.throughput.honest_echo URL SECONDS``.

It asks for an echo on a schedule, over a blocking socket, and prints its round trips in seconds as a JSON
array. What the benchmark's own process does meanwhile does not make it late.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Final

from websockets.sync.client import connect

__all__ = ["RATE", "main", "round_trips"]

#: Echoes a second.
RATE: Final = 100.0
_TIMEOUT: Final = 30.0


async def round_trips(url: str, seconds: float) -> list[float]:
    """Run the client in a child process, and return its round trips.

    Parameters
    ----------
    url : str
        The server's WebSocket.
    seconds : float
        How long.
    """
    command = (sys.executable, "-m", "rtlab.bench.throughput.honest_echo", url, str(seconds))
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
    """Return round trips, each from when it was due: a stall counts for all that should have been asked."""
    found: list[float] = []
    with connect(url, compression=None) as ws:
        ws.recv(_TIMEOUT)  # the welcome
        begun, late = time.monotonic(), False
        for n in range(max(1, round(seconds * RATE))):
            due = begun + n / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            # The sleep itself may be late; an echo that still has not come makes the next ones late.
            began = due if late else time.monotonic()
            ws.send('{"type":"echo","payload":1}')
            while '"echo"' not in str(ws.recv(_TIMEOUT)):
                pass
            found.append(time.monotonic() - began)
            late = time.monotonic() > due + 1 / RATE
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], float(sys.argv[2]))))
