"""A fork of a prepared process is what would have been started, in all that others can see of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import KernelManager

from tests import warm_start
from tests.kernel_ports import kernel_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="clones with Linux's CLONE_PARENT")


def start(*options: str, **variables: str) -> subprocess.Popen[str]:
    """Start a server as `rtlab.processes.start_child_process` does, but with pipes to read from."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "rtlab.server", "--watch-fd", "0", *options],
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> int:
    with process:
        return process.wait(30)


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return the ids of what started as ever."""
    started = set[int]()

    def note(self: subprocess.Popen[str], *given: object) -> None:
        execute(self, *given)
        started.add(self.pid)

    execute = subprocess.Popen.__base__._execute_child  # type: ignore[union-attr]
    monkeypatch.setattr(subprocess.Popen.__base__, "_execute_child", note)
    return started


def test_a_fork_is_a_child_like_any_other(cold: set[int]):
    process = start("--port", "0", RTLAB_TOKEN="secret")
    assert process.stdout is not None
    assert process.stdin is not None
    assert f'"pid": {process.pid}' in process.stdout.readline()
    assert process.pid not in cold
    seen = psutil.Process(process.pid)
    assert seen.ppid() == os.getpid()
    assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid
    assert [*filter(None, seen.cmdline())] == process.args
    assert seen.cwd() == os.getcwd()
    # Of ours it has the three streams only: a pipe that it held would never reach its end.
    ours, theirs = (
        {int(path.name): os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.exists()}
        for pid in ("self", process.pid)
    )
    pipes = {what for what in ours.values() if what.startswith(("pipe:", "socket:"))}
    assert {number for number, what in theirs.items() if what in pipes} == {0, 1, 2}
    os.kill(process.pid, signal.SIGKILL)
    assert end(process) == -signal.SIGKILL


def test_it_ends_with_what_it_returns_and_says_why(cold: set[int]):
    process = start("--no-such-option")
    assert process.pid not in cold
    assert process.stdout is not None
    assert "unrecognized arguments: --no-such-option" in process.stdout.read()
    assert end(process) == 2
    process = start("--help", PYTHONUNBUFFERED="")
    assert process.pid not in cold - {one._process.pid for one in warm_start._prepared.values()}
    assert process.stdout is not None
    as_ever = [sys.executable, "-m", "rtlab.server", "--help"]
    assert process.stdout.read() == subprocess.run(as_ever, stdout=subprocess.PIPE, text=True).stdout
    assert end(process) == 0


def test_it_ends_with_its_parents_pipe(cold: set[int]):
    process = start("--port", "0")
    assert process.pid not in cold
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdin.close()
    assert end(process) == 0


def test_a_kernel_is_told_its_parent_and_nothing_of_earlier_ones(cold: set[int], tmp_path: Path):
    for name in ("first", "second"):
        manager = KernelManager(kernel_name="python3", **kernel_ports())
        (tmp_path / name).mkdir()
        manager.start_kernel(cwd=str(tmp_path / name), env={**os.environ, "NAME": name})
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            said: list[str] = []
            client.execute_interactive(
                "import os, sys, threading, ipykernel.parentpoller as p\n"
                "polls = any(isinstance(t, p.ParentPollerUnix) for t in threading.enumerate())\n"
                "print(os.getppid(), polls, os.environ['NAME'], os.path.basename(os.getcwd()), sys.argv[1])",
                output_hook=lambda message: said.append(message["content"].get("text", "")),  # noqa: B023
                timeout=60,
            )
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)  # which kills the kernel's group
        assert "".join(said).split() == [str(os.getpid()), "True", name, name, "-f"]
    assert cold <= {one._process.pid for one in warm_start._prepared.values()}


def test_a_kernel_that_is_asked_to_end_does_what_it_had_registered(cold: set[int], tmp_path: Path):
    manager = KernelManager(kernel_name="python3", **kernel_ports())
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive("import atexit\natexit.register(open, 'ended', 'x')", timeout=60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert (tmp_path / "ended").exists()
    assert cold <= {one._process.pid for one in warm_start._prepared.values()}


def test_where_a_start_counts_it_is_as_ever(cold: set[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warm_start, "suspended", True)
    process = start("--help")
    assert process.pid in cold
    assert end(process) == 0


def test_a_prepared_process_that_is_gone_is_replaced(cold: set[int]):
    assert end(start("--help")) == 0
    for one in [*warm_start._prepared.values()]:
        one._process.kill()
        one._process.wait()
    for _ in range(2):
        assert end(start("--help")) == 0
    last = start("--help")
    assert last.pid not in cold
    assert end(last) == 0
