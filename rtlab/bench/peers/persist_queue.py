"""A peer of the offline queue: ``persist-queue``'s `SQLiteAckQueue`, which commits every step by itself."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from rtlab.errors import LabError

__all__ = ["enqueue_and_acknowledge", "enqueue_one_at_a_time"]

_TIMEOUT: Final = 60.0


def enqueue_and_acknowledge(folder: str, payload: Any, *, each: int, threads: int) -> float:
    """Let threads enqueue while another takes and acknowledges; return the seconds until the last ack.

    Parameters
    ----------
    folder : str
        An empty folder for the queue.
    payload : any
        Payload of every message.
    each : int
        Messages that each thread enqueues.
    threads : int
        Number of threads that enqueue at the same time.
    """
    queue = _opened(folder)

    def enqueue() -> None:
        for _ in range(each):
            queue.put(payload)

    def acknowledge() -> None:
        for _ in range(each * threads):
            queue.ack(id=queue.get(timeout=_TIMEOUT, raw=True)["pqid"])

    try:
        with ThreadPoolExecutor(threads + 1) as pool:
            began = time.perf_counter()
            for done in [pool.submit(acknowledge), *(pool.submit(enqueue) for _ in range(threads))]:
                done.result(_TIMEOUT)
            return time.perf_counter() - began
    finally:
        queue.close()


def enqueue_one_at_a_time(folder: str, payload: Any, *, count: int) -> float:
    """Enqueue, take and acknowledge one message at a time; return the seconds for all `count`."""
    queue = _opened(folder)
    try:
        began = time.perf_counter()
        for _ in range(count):
            queue.put(payload)
            queue.ack(id=queue.get(timeout=_TIMEOUT, raw=True)["pqid"])
        return time.perf_counter() - began
    finally:
        queue.close()


def _opened(folder: str) -> Any:
    """Open a queue with the same durability as ours with ``durability="full"``, and verify that."""
    try:
        import persistqueue
    except ImportError:
        raise LabError("persist-queue is missing: pip install -e '.[test]' brings it") from None
    queue = persistqueue.SQLiteAckQueue(folder, multithreading=True)
    for connection in (queue._putter, queue._getter):
        connection.execute("PRAGMA synchronous=FULL")
        kept = [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
        if kept != ["wal", 2]:
            raise LabError(f"expected persist-queue's file in WAL mode with synchronous=FULL (2), got {kept}")
    return queue
