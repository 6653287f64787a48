"""The child's end of the contract between the lab and the processes it starts.

A child prints one line of JSON when it listens, and ends when the pipe that its
parent holds open reaches its end: that happens also after ``kill -9``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["announce", "raise_nofile", "watch_parent"]

#: Seconds that the graceful stop of an orphan may take, whatever its clients do.
ORPHAN_LIMIT: Final = 1.5


def announce(port: int, **extra: object) -> None:
    """Tell the parent that the child listens: one line of JSON on stdout.

    Parameters
    ----------
    port : int
        The port that the child listens on.
    **extra
        More keys for the line.

    Examples
    --------
    >>> announce(8080, pid=7)
    {"port": 8080, "pid": 7}
    """
    print(json.dumps({"port": port, "pid": os.getpid(), **extra}), flush=True)


def watch_parent(fd: int, on_eof: Callable[[], None]) -> None:
    """Call `on_eof` once, on the running loop, when the parent is gone.

    Parameters
    ----------
    fd : int
        The read end of a pipe whose only write end the parent holds.
    on_eof : callable
        What to do then; typically it starts the graceful stop. After 1.5 s the
        process ends, finished or not.

    Raises
    ------
    OSError
        When `fd` is not an open descriptor.
    """
    os.fstat(fd)
    os.set_blocking(fd, False)
    loop = asyncio.get_running_loop()

    def readable() -> None:
        try:
            if os.read(fd, 4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        loop.remove_reader(fd)
        loop.call_later(ORPHAN_LIMIT, os._exit, 1)
        on_eof()

    loop.add_reader(fd, readable)


def raise_nofile() -> int:
    """Raise the limit of open descriptors to the hard limit.

    Returns
    -------
    int
        The limit now; 0 where the system has none (Windows).
    """
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
