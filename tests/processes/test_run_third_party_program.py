"""The guard leaves no process behind, and keeps the exit code of the program."""

from __future__ import annotations

import sys

import psutil
import pytest

from rtlab.processes.start_child_process import Child
from tests.processes.process_states import gone, until

#: A process that SIGTERM does not end; its program prints its process id once it ignores the signal.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), file=sys.stderr, flush=True)
time.sleep(600)
"""
PROGRAM = f"""
import subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stderr=subprocess.PIPE, text=True)
print(left.stderr.readline().strip(), file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (PROGRAM + "time.sleep(600)", 128 + 15),
        ("import os, signal; signal.signal(15, lambda *_: os._exit(9))" + PROGRAM + "time.sleep(600)", 9),
        (PROGRAM + "sys.exit(5)", 5),
    ],
    ids=["stopped", "stopped, with a code of its own", "ended by itself"],
)
async def test_what_the_program_leaves_behind_is_killed_if_it_ignores_sigterm(
    program: str, code: int
) -> None:
    child = Child.guarded("tool", [sys.executable, "-c", program])
    await until(child.last_lines)
    left = int(child.last_lines())
    try:
        if code != 5:
            await child.stop(30)
        await until(lambda: not child.alive)
        assert child.returncode == code
        assert gone(left)
    finally:
        child.kill()
        if not gone(left):
            psutil.Process(left).kill()
