"""A schedule kept with ``asyncio.sleep`` alone.

``python -m rtlab.bench.peers.asyncio_sleep_schedule RATE COUNT`` prints how late each
deadline was met, in seconds, as a JSON array: what a feed does without a timer of its own,
in a process of its own like the lab's server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

__all__ = ["latenesses", "main"]

TIMEOUT = 60.0


async def _keep(rate: float, count: int) -> list[float]:
    late: list[float] = []
    start = time.monotonic()
    for n in range(count):
        while (wait := start + n / rate - time.monotonic()) > 0:
            await asyncio.sleep(max(wait, 0.001))
        late.append(time.monotonic() - start - n / rate)
    return late


async def latenesses(rate: float, count: int) -> list[float]:
    """Run the schedule in a child process.

    Parameters
    ----------
    rate : float
        Deadlines per second.
    count : int
        Number of deadlines.

    Returns
    -------
    list of float
        Lateness at each deadline, in seconds.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "rtlab.bench.peers.asyncio_sleep_schedule", str(rate), str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(count / rate + TIMEOUT):
            out, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return json.loads(out)


def main() -> None:
    """Keep one schedule, and print its latenesses."""
    rate, count = float(sys.argv[1]), int(sys.argv[2])
    print(json.dumps(uvloop.run(_keep(rate, count))))


if __name__ == "__main__":
    main()
