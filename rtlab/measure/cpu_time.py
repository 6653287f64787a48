"""CPU time of this process and of others, on Linux with a resolution of nanoseconds."""

from __future__ import annotations

import sys
import time

import psutil

from rtlab.errors import LabError

__all__ = ["CpuWatch", "cpu_seconds"]

_ENDED = "expected a running process to measure, got one that has ended: `lab.check()` says more"


def cpu_seconds(pid: int | None = None) -> float:
    """Return the CPU time that a process has used, all threads, user and system.

    Parameters
    ----------
    pid : int, optional
        Process id; None means this process.

    Returns
    -------
    float
        Seconds. On Linux with a resolution of nanoseconds: the usual counters move in
        steps of 10 ms, and a thousand messages take no more CPU time than that.

    Raises
    ------
    LabError
        When there is no such process (any more).

    Examples
    --------
    >>> cpu_seconds() > 0
    True
    """
    if pid is None:
        return time.process_time()
    if sys.platform == "linux":
        # The id of another process's CPU clock, computed as clock_getcpuclockid(3) does.
        try:
            return time.clock_gettime((~pid << 3) | 2)
        except OSError:
            raise LabError(_ENDED) from None
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        raise LabError(_ENDED) from None
    return times.user + times.system


class CpuWatch:
    """CPU seconds of a server and of this process, counted from when the watch is made.

    Parameters
    ----------
    pid : int
        Process id of the server.

    Examples
    --------
    >>> import os
    >>> server, client, passed = CpuWatch(os.getpid()).read()
    >>> min(server, client, passed) >= 0
    True
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server, self._client = cpu_seconds(pid), cpu_seconds()
        self._began = time.monotonic()

    def read(self) -> tuple[float, float, float]:
        """Return the server's CPU seconds, this process's CPU seconds, and the elapsed seconds.

        Raises
        ------
        LabError
            When the server's process has ended.
        """
        return (
            cpu_seconds(self._pid) - self._server,
            cpu_seconds() - self._client,
            time.monotonic() - self._began,
        )
