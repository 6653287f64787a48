from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from rtlab.errors import LabError
from rtlab.processes.start_child_process import Child
from tests.processes.process_states import gone, until

SLEEPER = "import signal, sys; print('hello', file=sys.stderr, flush=True); signal.pause()"
WATCHER = """
import json, os, sys
print(json.dumps({"port": 4711, "pid": os.getpid()}), flush=True)
while os.read(0, 100): pass
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_the_port_is_announced():
    child = Child("stub", python(WATCHER))
    assert await child.announced(10) == 4711 == child.port
    assert child.alive
    await child.stop(5)
    assert gone(child.pid)


async def test_a_child_leads_its_own_session():
    child = Child("stub", python(SLEEPER))
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    child.kill()


async def test_what_is_not_an_announcement_is_quoted():
    child = Child("stub", python("print('Hello', flush=True); input()"))
    with pytest.raises(LabError, match="announced its port, it printed b'Hello'"):
        await child.announced(10)
    child.kill()


async def test_the_last_lines_of_a_child_that_died_are_shown():
    child = Child("stub", python("import sys; [print(n, file=sys.stderr) for n in range(50)]; sys.exit(3)"))
    with pytest.raises(LabError, match=r"the stub ended with exit code 3; its last lines:\n38\n(.*\n)*49$"):
        await child.announced(10)
    child.kill()


async def test_a_killed_child_is_reported_by_the_signal():
    child = Child("stub", python(SLEEPER))
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: not child.alive)
    with pytest.raises(LabError, match="the stub was killed by SIGKILL"):
        child.check()
    child.kill()


async def test_a_silent_child_is_given_up():
    child = Child("stub", python(SLEEPER))
    await until(child.last_lines)
    with pytest.raises(LabError, match=r"not ready within 0.05 s(.|\n)*hello"):
        await child.announced(0.05)
    child.kill()


async def test_reading_the_last_lines_does_not_disturb_the_child():
    child = Child(
        "stub", python("import sys\nfor line in range(2000): print(line, file=sys.stderr, flush=True)")
    )
    while child.alive:
        child.last_lines()
        await asyncio.sleep(0)
    assert child.last_lines(3) == "1997\n1998\n1999"
    child.kill()


def on_sigterm(handler: str) -> list[str]:
    return python(
        f"import signal, sys; signal.signal(signal.SIGTERM, {handler}); "
        "print('up', file=sys.stderr, flush=True); signal.pause()"
    )


async def test_stop_kills_a_child_that_ignores_sigterm():
    child = Child("stub", on_sigterm("signal.SIG_IGN"))
    await until(child.last_lines)
    await child.stop(0.1)
    await child.stop(0.1)
    assert child.returncode == -signal.SIGKILL


async def test_stop_is_graceful_where_the_child_is():
    child = Child("stub", on_sigterm("lambda *_: sys.exit(7)"))
    await until(child.last_lines)
    await child.stop(10)
    assert child.returncode == 7


async def test_a_forgotten_child_is_killed_when_collected():
    child = Child("stub", python(SLEEPER))
    pid = child.pid
    del child
    gc.collect()
    assert not psutil.pid_exists(pid)


FORK = """
import os, sys
from rtlab.processes.start_child_process import Child
child = Child("stub", [sys.executable, "-c", "import os; os.read(0, 1)"])
fork = os.fork()
if fork == 0:
    child.kill()
    os._exit(0)
os.waitpid(fork, 0)
assert child.alive
child.kill()
"""


def test_a_fork_of_the_owner_does_not_kill_its_children():
    subprocess.run(python(FORK), check=True, timeout=20)


PARENT = """
import asyncio, sys
from rtlab.processes.start_child_process import Child

async def main():
    child = {child}
    await child.until(lambda: asyncio.sleep(0, bool(child.last_lines())), 20)
    print(child.pid, child.last_lines(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
# One knows the pipe; the other knows nothing of it, and has a child of its own.
KNOWING = "import os, sys; print(os.getpid(), file=sys.stderr, flush=True); os.read(0, 1)"
IGNORANT = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), subprocess.Popen(["sleep", "600"]).pid, file=sys.stderr, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    "child",
    [
        f"Child('x', [sys.executable, '-c', {KNOWING!r}])",
        f"Child.guarded('x', [sys.executable, '-c', {IGNORANT!r}])",
    ],
    ids=["knowing", "guarded"],
)
def test_no_child_outlives_a_killed_parent(child: str):
    parent = subprocess.Popen(python(PARENT.format(child=child)), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as printed:
        pids = [int(word) for word in printed.readline().split()]
        assert len(pids) in (2, 3)
        assert not any(gone(pid) for pid in pids)
        parent.kill()
        parent.wait(10)
    deadline = time.monotonic() + 20
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline, "a child outlived its parent"
        time.sleep(0.01)


async def test_the_guard_passes_the_exit_code_and_the_last_lines_on():
    child = Child.guarded("tool", python("print('on stdout'); raise SystemExit(5)"))
    with pytest.raises(LabError, match="the tool ended with exit code 5; its last lines:\non stdout"):
        await child.announced(20)
    child.kill()


async def test_the_guard_passes_sigterm_on():
    child = Child.guarded("tool", on_sigterm("lambda *_: sys.exit(9)"))
    await until(child.last_lines)
    await child.stop(20)
    assert child.returncode == 9


async def test_the_guard_ends_what_a_program_leaves_behind():
    code = (
        "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, file=sys.stderr, flush=True)"
    )
    child = Child.guarded("tool", python(code))
    await until(lambda: not child.alive)
    left = int(child.last_lines())
    await until(lambda: gone(left))
    child.kill()


async def test_a_program_that_is_not_installed_is_named():
    with pytest.raises(LabError, match="no-such-program is not installed"):
        Child.guarded("tool", ["no-such-program"])


async def test_the_guard_raises_the_limit_of_open_descriptors():
    code = "import resource, sys; print(*resource.getrlimit(resource.RLIMIT_NOFILE), file=sys.stderr)"
    child = Child.guarded("tool", python(code))
    await until(lambda: not child.alive)
    soft, hard = child.last_lines().split()
    assert soft == hard
    child.kill()
