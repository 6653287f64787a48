"""kill -9 in mid-flush: what was acknowledged as queued is delivered once by the next process."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from rtlab.measure.ledger import Ledger, Stamp

PROGRAM = Path(__file__).with_name("queue_process.py")
KILLS = 5
COUNT = 400


async def test_nothing_is_lost_or_doubled_when_the_client_is_killed_five_times(tmp_path):
    ledger, rng, path = Ledger(), random.Random(5), tmp_path / "q.sqlite"
    ledger.watch("bob")
    stamps, promised = [], 0
    async with asyncio.timeout(90), Lab() as lab, WebSocketConnection(lab.ws_url) as bob:
        bob.on("stamped", lambda message: ledger.arrived("bob", Stamp("queue", message.payload)))
        await bob.join_room("killed")
        for life in range(KILLS + 1):
            last = life == KILLS
            count = 0 if last else COUNT
            first = len(stamps)
            stamps += [ledger.stamp("queue") for _ in range(count)]
            command = (sys.executable, str(PROGRAM), str(path), lab.ws_url, str(first), str(count))
            child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            victim = rng.randrange(COUNT // 10, COUNT)  # killed after so many promises
            assert child.stdout is not None
            async for line in child.stdout:
                if line.strip().isdigit():
                    ledger.ok(stamps[int(line)])
                    promised += 1
                    victim -= 1
                    if victim == 0 and not last:
                        os.kill(child.pid, signal.SIGKILL)
                else:
                    assert line.strip() == b"flushed"
            code = await child.wait()
            assert code == (0 if last else -signal.SIGKILL)
        while ledger.account("bob", "queue").received < promised:
            await asyncio.sleep(0.02)
        await bob.ping()
    account = ledger.account("bob", "queue")
    assert (account.lost, account.duplicates, account.reordered, account.phantoms) == (0, 0, 0, 0)
    assert account.ok == promised > KILLS * COUNT // 10
