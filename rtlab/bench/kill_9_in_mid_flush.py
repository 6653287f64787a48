"""Kills a client with ``kill -9`` in mid-flush, damages copies of its queue file, and accounts for losses.

A message is *promised* once the client has printed that it is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rtlab.bench.killed_client_process import ROOM
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.measure.delivery_ledger import Anomalies, Ledger, MessageIdentity
from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.protocol.message_format import Message

__all__ = ["Kills", "kill_in_mid_flush"]

#: Messages that the client queues each time it runs.
COUNT: Final = 400
#: After one kill in this many, two copies of the file are damaged: one truncated, one with a flipped bit.
DAMAGED: Final = 5
TIMEOUT: Final = 60.0
#: Seconds that promised messages may take to arrive after the last run; the missing ones count as lost.
ARRIVAL: Final = 60.0
_OWNER: Final = "queue"


class Kills(NamedTuple):
    """What happened to the messages of a client that was killed repeatedly.

    Parameters
    ----------
    kills : int
        How often the client was killed.
    promised : int
        Messages that the client reported to be on disk.
    account : Anomalies
        What the receiver got, over all runs of the client.
    copies, reported : int
        Damaged copies that were opened, and how many of them the queue reported as damaged.
    silent : int
        Promised messages missing from a damaged copy that the queue did not report; it must be 0.
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
    """Kill a client repeatedly while it queues and sends; let the last run flush its queue.

    Parameters
    ----------
    url : str
        The WebSocket URL of a lab.
    folder : Path
        Folder for the queue's file.
    kills : int
        How often to kill the client.
    seed : int
        Seed of the moments of the kills, and of the damage to the copies.
    told : callable
        Called after each run with the number of kills so far.

    Raises
    ------
    LabError
        If the client ended in another way, or found its own file damaged.
    """
    rng, path = random.Random(seed), folder / "q.sqlite"
    ledger = Ledger()
    ledger.watch("bob")
    promised: set[int] = set()
    came: set[int] = set()
    copies = reported = silent = 0

    def arrived(message: Message) -> None:
        came.add(message.payload)
        ledger.arrived("bob", MessageIdentity(_OWNER, message.payload))

    async with WebSocketConnection(url) as bob:
        bob.on("stamped", arrived)
        await bob.join_room(ROOM)
        for life in range(kills + 1):
            count = COUNT if life < kills else 0
            stamps = [ledger.stamp(_OWNER) for _ in range(count)]
            async with asyncio.timeout(TIMEOUT):
                kept = await _live(path, url, stamps, rng.randrange(COUNT // 10, COUNT) if count else 0)
            for number in kept:
                ledger.ok(MessageIdentity(_OWNER, number))
            promised |= kept
            if life % DAMAGED == DAMAGED // 2 and count:
                await bob.ping()  # all messages that the server has handled have arrived now
                for damage in (_truncate, _flip):
                    lost = await _open_damaged(path, damage, rng, promised - came)
                    copies, reported, silent = copies + 1, reported + (lost is None), silent + (lost or 0)
            told(min(life + 1, kills))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ARRIVAL):
                while not promised <= came:
                    await asyncio.sleep(0.02)
        await bob.ping()
    return Kills(kills, len(promised), ledger.account("bob", _OWNER), copies, reported, silent)


async def _live(path: Path, url: str, stamps: list[MessageIdentity], victim: int) -> set[int]:
    """Run a client and kill it after `victim` promised messages, never if 0; return the promised numbers."""
    first = stamps[0].number if stamps else 0
    command = (sys.executable, "-P", "-m", "rtlab.bench.killed_client_process", str(path), url, str(first))
    child = await asyncio.create_subprocess_exec(
        *command,
        str(len(stamps)),
        "stay" if victim else "end",
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
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
    """Open a damaged copy; return None if the queue reports it, else how many of `needed` are missing."""
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
