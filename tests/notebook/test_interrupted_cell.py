"""An interrupt of a cell: one sentence of what to do, and no traceback."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.notebook import start_jupyterlab
from tests.hostile_reader import kernel

#: Interrupts itself when it awaits: from outside, a busy kernel would be interrupted before it began.
CELL = """
import asyncio, os, signal
asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
await asyncio.Event().wait()
"""
#: Interrupts itself while its last line is shown, as a figure is.
DRAWS = """
import os, signal, time
class Slow:
    def _repr_mimebundle_(self, **_):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
Slow()
"""


async def test_a_kernel_of_rtlab_lab_says_what_to_run_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONSTARTUP", start_jupyterlab.environment()["PYTHONSTARTUP"])
    async with asyncio.timeout(120), kernel(cold=False) as started:
        ran = await started.run(CELL)
        assert (ran.error, ran.stdout, ran.stderr) == ("CancelledError", "", "")
        assert "run it again before the cells below it" in ran.message
        drew = await started.run(DRAWS)
        assert (drew.error, drew.message) == ("KeyboardInterrupt", ran.message)
        scope = await started.run("raise asyncio.CancelledError('Cancelled via cancel scope 7fc6 by <Task>')")
        assert scope.message == ran.message  # a library's words of its own scopes help nobody
        assert (await started.run("1 / 0")).error == "ZeroDivisionError"


#: The kernel's loop has nothing else to do: no socket and no timer wakes it before its own time.
IDLE = {
    "a timer": "import asyncio; await asyncio.sleep(60)",
    "a thread": "import asyncio, time; await asyncio.to_thread(time.sleep, 15)",
}


@pytest.mark.parametrize("code", IDLE.values(), ids=IDLE)
async def test_a_cell_that_waits_for_nothing_but_itself_obeys_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, code: str
):
    monkeypatch.setenv("PYTHONSTARTUP", start_jupyterlab.environment()["PYTHONSTARTUP"])
    async with asyncio.timeout(120), kernel(cold=False) as started:
        ran = await started.run(code, interrupt_after=0.5)  # raises when it is not obeyed within 10 s
        assert (ran.error, ran.stdout, ran.stderr) == ("CancelledError", "", "")
        assert (await started.run("1 + 1")).error == ""
