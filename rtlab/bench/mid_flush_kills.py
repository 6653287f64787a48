"""``kill -9`` of a client in mid-flush, damaged copies of its file, and what becomes of what it promised."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rtlab.bench.queue_process import ROOM
from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.measure.ledger import Anomalies, Ledger, Stamp
from rtlab.patterns.message_queue import MessageQueue
from rtlab.protocol.messages import Message

__all__ = ["Kills", "kill_in_mid_flush"]

#: Messages of each life of the client.
COUNT: Final = 400
#: One kill of so many leaves copies of its file, one truncated and one with a flipped bit.
DAMAGED: Final = 5
TIMEOUT: Final = 60.0
_OWNER: Final = "queue"


class Kills(NamedTuple):
    """What became of the messages.

    Parameters
    ----------
    kills : int
        Lives of the client that ended so.
    promised : int
        Messages that were on disk, as it said before.
    account : Anomalies
        The receiver's, over all lives.
    copies, reported : int
        Damaged copies that were opened, and those of them that were set aside and reported.
    silent : int
        Promised messages that a copy has lost and that nothing reported: there must be none.
    """

    kills: int
    promised: int
    account: Anomalies
    copies: int
    reported: int
    silent: int


async def kill_in_mid_flush(
    url: str, folder: Path, kills: int, seed: int, told: Callable[[int], object] = lambda kills: None
) -> Kills:
    """Kill a client again and again while it queues and sends; the last one lives to flush.

    Parameters
    ----------
    url : str
        The WebSocket address of a lab.
    folder : Path
        Where its file is to be.
    kills : int
        How often.
    seed : int
        Decides when, and how the copies are damaged.
    told : callable
        Gets the kills so far.

    Raises
    ------
    LabError
        The client ended in another way, or found its own file damaged.
    """
    rng, path = random.Random(seed), folder / "q.sqlite"
    ledger = Ledger()
    ledger.watch("bob")
    promised: set[int] = set()
    came: set[int] = set()
    copies = reported = silent = 0

    def arrived(message: Message) -> None:
        came.add(message.payload)
        ledger.arrived("bob", Stamp(_OWNER, message.payload))

    async with WebSocketConnection(url) as bob:
        bob.on("stamped", arrived)
        await bob.join_room(ROOM)
        for life in range(kills + 1):
            count = COUNT if life < kills else 0
            stamps = [ledger.stamp(_OWNER) for _ in range(count)]
            async with asyncio.timeout(TIMEOUT):
                kept = await _live(path, url, stamps, rng.randrange(COUNT // 10, COUNT) if count else 0)
            for number in kept:
                ledger.ok(Stamp(_OWNER, number))
            promised |= kept
            if life % DAMAGED == DAMAGED // 2 and count:
                await bob.ping()  # what its server has handled is here
                for damage in (_truncate, _flip):
                    lost = await _open_damaged(path, damage, rng, promised - came)
                    copies, reported, silent = copies + 1, reported + (lost is None), silent + (lost or 0)
            told(min(life + 1, kills))
        async with asyncio.timeout(TIMEOUT):
            while ledger.account("bob", _OWNER).received < len(promised):
                await asyncio.sleep(0.02)
        await bob.ping()
    return Kills(kills, len(promised), ledger.account("bob", _OWNER), copies, reported, silent)


async def _live(path: Path, url: str, stamps: list[Stamp], victim: int) -> set[int]:
    """Run a client, and kill it after so many promises, 0 for never; return what it promised."""
    first = stamps[0].number if stamps else 0
    command = (sys.executable, "-P", "-m", "rtlab.bench.queue_process", str(path), url, str(first))
    child = await asyncio.create_subprocess_exec(
        *command, str(len(stamps)), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    promised: set[int] = set()
    try:
        assert child.stdout is not None
        async for line in child.stdout:
            if line.strip() == b"damaged":
                raise LabError(f"the file {path.name} was damaged by kill -9 alone")
            if line.strip().isdigit():
                promised.add(int(line))
                if len(promised) == victim:
                    os.kill(child.pid, signal.SIGKILL)
        code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    expected = -signal.SIGKILL if victim else 0
    if code != expected:
        raise LabError(f"expected the client to end with {expected}, got {code}")
    return promised


async def _open_damaged(
    path: Path, damage: Callable[[Path, random.Random], None], rng: random.Random, needed: set[int]
) -> int | None:
    """Damage a copy of a file, and open it: None when that is reported, else how much is missing."""
    copy = path.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    parts = [part for part in (path, Path(f"{path}-wal"), Path(f"{path}.mark")) if part.exists()]
    for part in parts:
        shutil.copy2(part, copy / part.name)
    damage(copy / rng.choice([part for part in parts if part.stat().st_size]).name, rng)
    offline = WebSocketConnection("ws://127.0.0.1:1/ws")  # never opened
    async with MessageQueue(offline, copy / path.name) as queue:
        if queue.damage is not None:
            return None
        waiting = {message.payload for message in await queue.messages(1 << 30)}
    return len(needed - waiting)


def _truncate(part: Path, rng: random.Random) -> None:
    os.truncate(part, rng.randrange(part.stat().st_size))


def _flip(part: Path, rng: random.Random) -> None:
    data = bytearray(part.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    part.write_bytes(data)
