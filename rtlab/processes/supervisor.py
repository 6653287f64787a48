"""Runs a third-party program that must not outlive the kernel.

``python -m rtlab.processes.supervisor --watch-fd N -- command…`` starts the command in the
guard's own process group, kills the whole group when the pipe ``N`` reaches
end-of-file, and otherwise ends with the command's exit code. SIGTERM is passed on.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
from types import FrameType

from rtlab.processes.parent_watch import raise_nofile

__all__ = ["main"]


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal whose number in the pipe is all that is wanted."""


def main(argv: list[str] | None = None) -> int:
    """Run the command until it ends, or the pipe closes.

    Parameters
    ----------
    argv : list of str, optional
        The arguments, instead of the process's own.

    Returns
    -------
    int
        The command's exit code; 127 when it could not be started.
    """
    parser = argparse.ArgumentParser(prog="python -m rtlab.processes.supervisor", description=__doc__)
    parser.add_argument("--watch-fd", type=int, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)

    # The interpreter writes the number of each signal into this pipe.
    signalled, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, _nothing)
    raise_nofile()
    try:
        # Its output goes where the guard's errors go, so that its last words are kept.
        program = subprocess.Popen(options.command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as error:
        print(f"cannot start {options.command[0]}: {error}", file=sys.stderr)
        return 127

    while program.poll() is None:
        ready, _, _ = select.select([options.watch_fd, signalled], [], [])
        if signalled in ready and signal.SIGTERM in os.read(signalled, 4096):
            program.terminate()
        if options.watch_fd in ready and not os.read(options.watch_fd, 4096):
            os.killpg(0, signal.SIGKILL)  # the guard too

    # What the program left behind in the group.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


if __name__ == "__main__":
    sys.exit(main())
