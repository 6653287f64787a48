"""Inside a child process: tells the parent that it listens, and notices when the parent is gone.

A child prints one line of JSON when it listens, and ends when its parent is gone. A
separate thread detects the parent's end in two ways, even while the event loop is busy:
the pipe that the parent holds open reaches its end (also after ``kill -9``), or the
parent process id changes (when a fork of the parent still holds the pipe). A child that
cannot run at all is killed by `rtlab.processes.orphan_reaper`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections.abc import Callable

from rtlab.processes.orphan_reaper import ORPHAN_LIMIT, PARENT_CHECK

__all__ = ["announce", "wait_for_parent", "watch_parent"]


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


def watch_parent(fd: int, on_gone: Callable[[], None]) -> None:
    """Call `on_gone` once, on the running loop, when the parent is gone.

    Parameters
    ----------
    fd : int
        The read end of a pipe whose only write end the parent holds.
    on_gone : callable
        Called with no arguments; typically it starts the graceful stop. 1.5 s later the
        process exits in any case, even if its event loop is blocked.

    Raises
    ------
    OSError
        When `fd` is not an open descriptor.
    """
    os.fstat(fd)
    import asyncio  # imported here: the guard needs no loop, and starts in half the time

    loop = asyncio.get_running_loop()
    parent = os.getppid()

    def watch() -> None:
        while not wait_for_parent(fd, parent, PARENT_CHECK):
            pass
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending anyway
            loop.call_soon_threadsafe(on_gone)
        time.sleep(ORPHAN_LIMIT)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def wait_for_parent(fd: int, parent: int, timeout: float, *, also: int | None = None) -> bool:
    """Wait until the parent is gone, or for `timeout` seconds.

    Parameters
    ----------
    fd : int
        The read end of the pipe; bytes that arrive are discarded.
    parent : int
        The parent's process id, as it was at the start.
    timeout : float
        Seconds to wait at most.
    also : int, optional
        Another descriptor: the wait also ends when it becomes readable.

    Returns
    -------
    bool
        Whether the parent is gone.
    """
    ready, _, _ = select.select([fd] if also is None else [fd, also], [], [], timeout)
    if fd in ready:
        try:
            if not os.read(fd, 4096):
                return True
        except BlockingIOError:
            pass
        except OSError:
            return True
    return os.getppid() != parent
