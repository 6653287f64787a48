"""The lab in a real Jupyter kernel: its loop, its Interrupt, its death."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.kernel_ports import kernel_ports

TIMEOUT = 30.0


@pytest.fixture
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager = KernelManager(kernel_name="python3", **kernel_ports())
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def execute(client: BlockingKernelClient, code: str) -> str:
    """Run a cell, and return what it printed or showed."""
    said: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            said.append(content["text"])
        elif message["msg_type"] in ("execute_result", "display_data"):
            said.append(content["data"].get("text/html", content["data"]["text/plain"]))

    reply = client.execute_interactive(code, timeout=TIMEOUT, output_hook=hear)
    assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", said))
    return "".join(said)


def running(process: psutil.Process) -> bool:
    """Whether it runs: one that has ended, and that nobody has collected yet, does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_lab_lives_and_dies_with_its_kernel(kernel: tuple[KernelManager, BlockingKernelClient]):
    manager, client = kernel
    shown = execute(client, "from rtlab import Lab\nlab = await Lab.start()\nlab")
    assert shown.startswith("<b>rtlab</b>: 1 server, running")
    first, pid = execute(client, "print(*lab.pids)\nlab = await Lab.start()\nprint(*lab.pids)").split()
    # The notebook remembers what it showed, so that one is stopped by hand.
    assert psutil.pid_exists(int(first))
    execute(client, "for old in Lab.running():\n    if old is not lab:\n        await old.stop()")
    assert execute(client, "print(len(Lab.running()))") == "1\n"
    assert not psutil.pid_exists(int(first))

    server = psutil.Process(int(pid))
    kernel_pid = server.ppid()
    # An error would otherwise make the kernel abort what is asked just after it.
    request = client.execute("import time\nprint('waiting')\ntime.sleep(600)", stop_on_error=False)
    while True:
        message = client.get_iopub_msg(timeout=TIMEOUT)
        if message["msg_type"] == "stream" and message["parent_header"].get("msg_id") == request:
            break
    manager.interrupt_kernel()
    assert client.get_shell_msg(timeout=TIMEOUT)["content"]["status"] == "error"
    assert execute(client, "lab.check()\nprint('still there')") == "still there\n"

    os.kill(kernel_pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while running(server) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(server)
