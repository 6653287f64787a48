"""Runs a third-party program that must not outlive the kernel.

``python -m rtlab.processes.run_third_party_program --watch-fd N -- command…`` starts the command in the
guard's own process group and kills the whole group when the parent is gone: the pipe
``N`` has reached its end, or the parent process id has changed. Otherwise it ends with the
command's exit code, after the processes that the command has left in the group: they get SIGTERM,
and SIGKILL a second later. SIGTERM is passed on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Final

from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.processes.orphan_reaper import PARENT_CHECK
from rtlab.processes.parent_watch import wait_for_parent

__all__ = ["main"]

#: Seconds that the processes which the program leaves behind have to end after SIGTERM, before SIGKILL.
_GRACE: Final = 1.0
#: Seconds between two looks at them.
_LOOK: Final = 0.02


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing; its number is read from the wake-up pipe instead.

    ``SIG_IGN`` would not do: the interpreter writes only the numbers of signals that have a handler.
    """


def main(argv: list[str] | None = None) -> int:
    """Run the command until it ends, or the parent is gone.

    Parameters
    ----------
    argv : list of str, optional
        The arguments, instead of the process's own.

    Returns
    -------
    int
        The command's exit code; 127 when it could not be started.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rtlab.processes.run_third_party_program", description=__doc__
    )
    parser.add_argument("--watch-fd", type=int, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)

    # The interpreter writes the number of each signal into this pipe.
    parent = os.getppid()
    signalled, wake = os.pipe()
    os.set_blocking(signalled, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, _ignore)
    raise_nofile()
    try:
        # The program's output goes to the guard's standard error, whose end `Child` quotes.
        program = subprocess.Popen(options.command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as error:
        print(f"cannot start {options.command[0]}: {error}", file=sys.stderr)
        return 127

    while program.poll() is None:
        if wait_for_parent(options.watch_fd, parent, PARENT_CHECK, also=signalled):
            os.killpg(0, signal.SIGKILL)  # this process too
        with contextlib.suppress(BlockingIOError):
            if signal.SIGTERM in os.read(signalled, 4096):
                program.terminate()

    # Terminate processes that the program started and left running in the group, and kill those that stay.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while (rest := _rest_of_group()) and time.monotonic() < deadline + _GRACE:
        if time.monotonic() > deadline:  # in each turn, for what they have started meanwhile
            for pid in rest:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        if wait_for_parent(options.watch_fd, parent, _LOOK):
            os.killpg(0, signal.SIGKILL)
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


def _rest_of_group() -> list[int]:
    """Return the processes of the guard's own group that run, except the guard."""
    import psutil  # imported here: the guard starts faster without it

    own, group, found = os.getpid(), os.getpgid(0), list[int]()
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):  # it has ended meanwhile
            # A zombie has ended, but whoever inherited it has not collected its exit code.
            if (
                pid != own
                and os.getpgid(pid) == group
                and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
            ):
                found.append(pid)
    return found


if __name__ == "__main__":
    sys.exit(main())
