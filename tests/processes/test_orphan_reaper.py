"""No child outlives a parent that was killed, whatever state child and parent are in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from rtlab.processes import orphan_reaper
from rtlab.processes.start_child_process import Child

# Each says on standard error when it is as it should be. The last knows nothing of its parent.
BUSY_LOOP = """
import asyncio, sys, time
from rtlab.processes.parent_watch import watch_parent
async def main():
    watch_parent(0, lambda: None)
    print("busy", file=sys.stderr, flush=True)
    time.sleep(600)
asyncio.run(main())
"""
DEAF_LOOP = BUSY_LOOP.replace("time.sleep(600)", "await asyncio.sleep(600)")
NATIVE = """
import sys
print("busy", file=sys.stderr, flush=True)
sum(range(10**14))  # holds the interpreter's lock
"""
# What a notebook does after Lab.start(): fork something that keeps every descriptor.
PARENT = """
import asyncio, os, sys, time
from rtlab.processes.start_child_process import Child

async def main():
    child = {child}
    await child.until(lambda: asyncio.sleep(0, {ready}), 20)
    fork = os.fork() if {fork} else 0
    if {fork} and fork == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(fork, child.pid, child.port, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
SPOKEN = "bool(child.last_lines())"
LISTENING = "os.pread(child._output.fileno(), 9, 0) != b''"
CHILDREN = {
    "busy loop": (f"Child('x', [sys.executable, '-c', {BUSY_LOOP!r}])", SPOKEN),
    "deaf loop": (f"Child('x', [sys.executable, '-c', {DEAF_LOOP!r}])", SPOKEN),
    "native code": (f"Child('x', [sys.executable, '-c', {NATIVE!r}])", SPOKEN),
    "guarded": (f"Child.guarded('x', [sys.executable, '-c', {NATIVE!r}])", SPOKEN),
    "server": ("Child.module('x', 'rtlab.server', '--port', '0')", LISTENING),
    "fault proxy": ("Child.module('x', 'rtlab.faults', '--port', '0')", LISTENING),
    "bench peer": ("Child.module('x', 'rtlab.bench.peers.raw_stream', 'serve')", LISTENING),
}


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def parent_of(child: str, *, fork: bool) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A parent with a child: the parent, and the child's family."""
    code, ready = CHILDREN[child]
    script = PARENT.format(child=code, ready=ready, fork=fork)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    forked, family = 0, []
    try:
        assert parent.stdout is not None
        forked, pid, _ = (int(word) for word in parent.stdout.readline().split())
        family = [pid, *(found.pid for found in psutil.Process(pid).children(recursive=True))]
        yield parent, family
    finally:
        parent.kill()
        parent.wait(10)
        assert parent.stdout is not None
        parent.stdout.close()
        for pid in (forked, *family):
            if pid and runs(pid):
                os.kill(pid, signal.SIGKILL)


def ended_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(runs, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# Long for a machine that is loaded; the fork holds the pipes for a minute, and an orphan lives for ten.
LIMIT = 20.0


@pytest.mark.parametrize("child", CHILDREN)
def test_a_fork_that_holds_the_pipes_keeps_no_orphan_alive(child: str):
    with parent_of(child, fork=True) as (parent, family):
        parent.kill()
        assert ended_within(family, LIMIT)


@pytest.mark.parametrize("child", ["deaf loop", "guarded", "server"])
@pytest.mark.parametrize("fork", [False, True], ids=["alone", "forked"])
def test_a_stopped_orphan_is_killed(child: str, fork: bool):
    with parent_of(child, fork=fork) as (parent, family):
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
        assert ended_within(family, LIMIT)


def command_line(process: psutil.Process) -> str:
    """Return a child's command line; empty for one that has ended."""
    deadline = time.monotonic() + LIMIT
    # For a moment after `Popen` has returned, the kernel still shows an empty command line.
    while runs(process.pid):
        try:
            found = " ".join(process.cmdline())
        except psutil.NoSuchProcess:  # it has ended meanwhile, or is a zombie
            return ""
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return ""


def helpers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "orphan_reaper" in command_line(child)]


SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_one_helper_serves_all_children_and_ends_with_the_last():
    assert helpers() == []
    one, two = Child("one", SLEEPER), Child("two", SLEEPER)
    assert len(helpers()) == 1
    one.kill()
    assert len(helpers()) == 1
    two.kill()
    assert helpers() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_helper_that_was_killed_or_stopped_is_no_obstacle(number: signal.Signals):
    one = Child("one", SLEEPER)
    (old,) = helpers()
    old.send_signal(number)
    if number == signal.SIGKILL:
        os.waitid(os.P_PID, old.pid, os.WEXITED | os.WNOWAIT)  # until it can be collected
    two = Child("two", SLEEPER)
    assert len(helpers()) == 1
    one.kill()
    two.kill()
    assert helpers() == []


def test_a_child_that_cannot_be_watched_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    def fails(group: int) -> None:
        raise OSError("no more processes")

    before = psutil.Process().children()
    monkeypatch.setattr(orphan_reaper, "watch", fails)
    with pytest.raises(OSError, match="no more processes"):
        Child("one", SLEEPER)
    assert psutil.Process().children() == before
