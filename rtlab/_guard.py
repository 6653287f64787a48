"""Runs a third-party program that must not outlive the kernel.

``python -m rtlab._guard --watch-fd N -- command…`` starts the command in the
guard's own process group, kills the whole group when the pipe ``N`` reaches
end-of-file, and otherwise ends with the command's exit code. SIGTERM is passed on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys

__all__ = ["main"]


def _raise_nofile() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
    parser = argparse.ArgumentParser(prog="python -m rtlab._guard", description=__doc__)
    parser.add_argument("--watch-fd", type=int, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)

    # A signal only has to wake the select below.
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _raise_nofile()
    try:
        # Its output goes where the guard's errors go, so that its last words are kept.
        program = subprocess.Popen(options.command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as error:
        print(f"cannot start {options.command[0]}: {error}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())

    while program.poll() is None:
        ready, _, _ = select.select([options.watch_fd, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        if options.watch_fd in ready and not os.read(options.watch_fd, 4096):
            os.killpg(0, signal.SIGKILL)  # the guard too

    # What the program left behind in the group.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


if __name__ == "__main__":
    sys.exit(main())
