"""The child's end of the contract between the lab and the processes it starts.

A child prints one line of JSON when it listens, and ends when its parent is gone. It
watches for that in two ways, on a thread of its own, so that a busy event loop delays
nothing: the pipe that the parent holds open reaches its end (also after ``kill -9``),
or its parent process id changes (when a fork of the parent still holds the pipe). A
child that cannot run at all is killed by `rtlab.processes.orphan_reaper`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable

from rtlab.processes.orphan_reaper import ORPHAN_LIMIT, PARENT_CHECK

__all__ = ["announce", "raise_nofile", "wait_for_parent", "watch_parent"]


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
        What to do then; typically it starts the graceful stop. After 1.5 s the
        process ends, finished or not, also when its loop does nothing any more.

    Raises
    ------
    OSError
        When `fd` is not an open descriptor.
    """
    os.fstat(fd)
    import asyncio  # not for the supervisor, which needs no loop: half of its start

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
        The read end of the pipe; what comes through it is thrown away.
    parent : int
        The parent's process id, as it was at the start.
    timeout : float
        Seconds.
    also : int, optional
        Another descriptor, at which the wait ends too once there is something to read.

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
