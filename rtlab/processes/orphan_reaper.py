"""Kills the children of a process that has ended, from a small helper process.

A child that is suspended (SIGSTOP), or busy in native code, cannot end itself when its
parent is gone. So each process that has children also has one helper process. The helper
knows the process group of every child, watches the parent in two ways (a pipe and the
parent's process id), and kills the groups that are left `ORPHAN_LIMIT` seconds after the
parent's end. It runs as long as there are children. It needs no ``prctl``, so it works on
macOS too; Linux's ``PR_SET_PDEATHSIG`` would fire when the *thread* that started a child ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Final

__all__ = ["ORPHAN_LIMIT", "PARENT_CHECK", "forget", "watch"]

#: Seconds that an orphan may take to end by itself before it is killed.
ORPHAN_LIMIT: Final = 1.5
#: Seconds between two looks at the parent's process id: a pipe alone may be held open by a fork.
PARENT_CHECK: Final = 0.2


class _Helper:
    """The parent's handle of the helper: starts it with the first process group, ends it with the last."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may call `forget` in the middle of `watch`.
        self._lock = threading.RLock()
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        with self._lock:
            self._groups.add(group)
            if self._process is not None and self._process.poll() is None:
                self._tell(f"+{group}\n")
                return
            self._end()  # the helper was killed: collect its exit code
            self._process = subprocess.Popen(
                # -I -S: it imports a few standard modules only, so it starts in some 20 ms.
                [sys.executable, "-I", "-S", __file__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._tell("".join(f"+{known}\n" for known in self._groups))

    def forget(self, group: int) -> None:
        with self._lock:
            self._groups.discard(group)
            self._tell(f"-{group}\n")
            if not self._groups:
                self._end()

    def _tell(self, lines: str) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):  # the helper was killed: the next `watch` starts another
                os.write(self._process.stdin.fileno(), lines.encode())

    def _end(self) -> None:
        """Close the pipe: a helper without groups then exits at once."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:  # the helper is suspended
                process.kill()
                process.wait()


_helper = _Helper()


def _after_fork() -> None:
    """Give a fork its own helper: the parent's children and helper are not the fork's."""
    global _helper
    _helper = _Helper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def watch(group: int) -> None:
    """Have a process group killed after this process has ended.

    Parameters
    ----------
    group : int
        The id of the group's leader, a child of this process.

    Raises
    ------
    OSError
        When the helper cannot be started.
    """
    _helper.watch(group)


def forget(group: int) -> None:
    """Undo `watch`, after the child has ended. Does nothing in a fork of the child's parent."""
    _helper.forget(group)


def _read_groups(groups: set[int], unfinished: bytes, data: bytes) -> bytes:
    *lines, rest = (unfinished + data).split(b"\n")
    for line in lines:
        (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    return rest


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS reports this for a zombie
        return True
    return True


def main() -> None:
    """Run as the helper: wait for the parent's end, then kill the groups that are left."""
    parent = int(sys.argv[1])
    groups: set[int] = set()
    unfinished = b""
    while True:
        ready, _, _ = select.select([0], [], [], PARENT_CHECK)
        if ready:
            data = os.read(0, 65536)
            if not data:
                break
            unfinished = _read_groups(groups, unfinished, data)
        elif os.getppid() != parent:  # checked only after reading all that the parent wrote
            break
    deadline = time.monotonic() + ORPHAN_LIMIT
    while any(map(_exists, groups)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
