"""Waiting for a condition, and whether a process has ended: for the tests of child processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import psutil

__all__ = ["gone", "until"]


async def until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait for a condition; a test fails that waits longer than `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
