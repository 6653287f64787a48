from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from rtlab.bench.registry import BENCHES
from rtlab.bench.results import Result
from rtlab.cli import main as cli
from rtlab.errors import LabError
from rtlab.processes.ports import accepts, http_ok
from rtlab.resources import notebooks_path

RTLAB = str(Path(sys.executable).with_name("rtlab"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RTLAB, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_module_can_be_run_too():
    ran = subprocess.run(
        [sys.executable, "-m", "rtlab.cli.main", "nonsense"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, "No such command 'nonsense'" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["lab", "--prot", "1"], 2, "No such option: --prot"),
        (["serve", "--port", "70000"], 2, "Invalid value for '--port'"),
        (["serve", "--port", "http"], 2, "Invalid value for '--port'"),
        (["bench"], 2, "Missing argument 'NAME...'"),
        (["bench", "nix"], 1, "unknown benchmark 'nix': expected "),
        (["bench", "import", "--jsno"], 2, "No such option: --jsno"),
    ],
)
def test_wrong_usage_gives_one_line(
    arguments: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]
):
    assert cli.run(arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"rtlab: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "lab"])
def test_an_occupied_port_gives_one_line(command: str, capfd: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.run([command, "--port", str(port)]) == 1
    assert capfd.readouterr().err == f"rtlab: port {port} is taken: choose another with --port\n"


def test_the_installed_command_exits_without_a_traceback():
    done = run("serve", "--prot", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rtlab: No such option: --prot")


def test_help_names_the_commands(capfd: pytest.CaptureFixture[str]):
    assert cli.run(["--help"]) == 0
    out, _ = capfd.readouterr()
    assert all(command in out for command in ("lab", "serve", "doctor", "bench"))
    assert cli.run([]) == 2
    assert capfd.readouterr().err == ""


def test_help_imports_nothing_heavy():
    code = "import sys; from rtlab.cli.main import run; run(['--help']); print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_serve_serves_until_it_is_told_to_stop(number: signal.Signals, held_port: int):
    port = held_port
    process = subprocess.Popen([RTLAB, "serve", "--port", str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == f"http://127.0.0.1:{port}\n"
        assert printed.readline() == f"ws://127.0.0.1:{port}/ws\n"
        assert asyncio.run(http_ok(port, "/healthz"))
        children = psutil.Process(process.pid).children()
        process.send_signal(number)
        assert process.wait(10) == 0
    assert children
    assert not any(child.is_running() for child in children)
    assert not asyncio.run(accepts(port))


def test_serve_reports_a_server_that_died():
    process = subprocess.Popen(
        [RTLAB, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    for child in psutil.Process(process.pid).children():
        child.kill()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err == "rtlab: the server was killed by SIGKILL\n"


def test_bench_prints_what_it_measured(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    async def fake(_: Any) -> list[Result]:
        return [Result.of("fake", "round trip", [1.0, 2.0, 3.0], "µs", "rival", [4.0])]

    monkeypatch.setitem(BENCHES, "fake", fake)
    assert cli.run(["bench", "fake", "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert row == {
        "bench": "fake",
        "metric": "round trip",
        "value": 2.0,
        "unit": "µs",
        "peer": "rival",
        "peer_value": 4.0,
        "ratio": 0.5,
        "spread": 0.5,
        "interval": None,
        "busy": None,
        "at_most": None,
        "at_least": None,
    }
    assert cli.run(["bench", "fake"]) == 0
    assert "round trip" in capfd.readouterr().out
    assert cli.run(["bench", "list"]) == 0
    assert "import" in capfd.readouterr().out.split()


def test_bench_checks_the_options_of_all_before_the_first_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    async def fake(_: Any, messages: int) -> list[Result]:
        pytest.fail("it ran, though a later benchmark cannot")

    monkeypatch.setitem(BENCHES, "fake", fake)
    assert cli.run(["bench", "fake", "snapshot", "--messages", "3"]) == 1
    assert capfd.readouterr().err == "rtlab: snapshot takes no --messages: leave it out\n"


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["table", "json"])
def test_bench_prints_what_was_measured_before_a_failure(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    async def fake(_: Any) -> list[Result]:
        return [Result.of("fake", "round trip", [2.0], "µs")]

    async def broken(_: Any) -> list[Result]:
        raise LabError("the server is no more")

    monkeypatch.setitem(BENCHES, "fake", fake)
    monkeypatch.setitem(BENCHES, "broken", broken)
    assert cli.run(["bench", "fake", "broken", *flags]) == 1
    out, err = capfd.readouterr()
    assert "round trip" in out
    assert err == "rtlab: the server is no more\n"
    assert cli.run(["bench", "broken", "fake", *flags]) == 1
    assert capfd.readouterr().out == ""


def test_ctrl_c_ends_a_command_without_a_traceback_and_its_server_too():
    code = (
        "import asyncio, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # what nohup or a script's & ignores\n"
        "from rtlab.cli import main as cli\n"
        "from rtlab.bench.registry import BENCHES\n"
        "async def endless(start_lab):\n"
        "    lab = await start_lab()\n"
        "    try:\n"
        "        print(*lab.pids, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "    finally:\n"
        "        await lab.stop()\n"
        "BENCHES['endless'] = endless\n"
        "sys.exit(cli.run(['bench', 'endless']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (130, "")
    assert not psutil.pid_exists(server)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A home of its own, and JupyterLab's commands instead of JupyterLab."""
    commands: list[list[str]] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "execve", lambda program, command, environment: commands.append(command))
    return commands


def test_lab_resets_a_notebook_and_keeps_the_old_one(
    tmp_path: Path, opened: list[list[str]], capfd: pytest.CaptureFixture[str]
):
    assert cli.run(["lab", "--no-browser"]) == 0
    mine = tmp_path / "rtlab-notebooks" / "03_server_sent_events.ipynb"
    mine.write_text(mine.read_text("utf-8").replace("## Goal", "## My goal"), "utf-8")
    assert cli.run(["lab", "--no-browser", "--reset", "3"]) == 0
    out = capfd.readouterr().out
    assert "03_server_sent_events.ipynb is clean; the old one is now" in out
    assert "## My goal" in mine.with_name("03_server_sent_events.before-reset-1.ipynb").read_text("utf-8")
    assert "## My goal" not in mine.read_text("utf-8")
    assert [word for word in opened[1] if word.endswith("/lab/tree/03_server_sent_events.ipynb")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reset", "77"], "there is no notebook '77': there are 00_start_here"),
        (["--edit", "--reset", "1"], "leave out --dir and --reset"),
        (["--dir", str(notebooks_path())], "use another --dir, or open them with --edit"),
        (["--dir", "/proc/nowhere"], "cannot copy the notebooks to /proc/nowhere"),
    ],
)
def test_lab_says_in_one_line_what_it_cannot_do(
    arguments: list[str], said: str, opened: list[list[str]], capfd: pytest.CaptureFixture[str]
):
    assert cli.run(["lab", *arguments]) == 1
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert opened == []


def get(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as answer:
        return json.load(answer)


def test_lab_opens_jupyterlab_without_news(tmp_path: Path, held_port: int):
    port = held_port
    home = {name: str(tmp_path / name) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    home |= {"JUPYTER_DATA_DIR": str(tmp_path / "data"), "JUPYTER_TOKEN": "secret"}
    before = tracked()
    process = subprocess.Popen(
        [RTLAB, "lab", "--no-browser", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | home,
    )
    try:
        deadline = time.monotonic() + 150
        while not asyncio.run(http_ok(port, "/api")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        base = f"http://127.0.0.1:{port}"
        name = "@jupyterlab/apputils-extension:notification"
        schema = get(f"{base}/lab/api/settings/{name}?token=secret")["schema"]["properties"]
        assert schema["fetchNews"]["default"] == "false"
        assert schema["checkForUpdates"]["default"] is False
        listed = {entry["name"] for entry in get(f"{base}/api/contents?token=secret")["content"]}
        assert "00_start_here.ipynb" in listed
        assert get(f"{base}/lab/api/update?token=secret")["notification"] is None
        assert get(f"{base}/lab/api/news?token=secret")["news"] == []
    finally:
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert f"127.0.0.1:{port}/lab/tree/00_start_here.ipynb" in err
    assert f"your notebooks: {tmp_path / 'HOME' / 'rtlab-notebooks'}" in out
    assert b'"outputs": []' in (tmp_path / "HOME" / "rtlab-notebooks" / "00_start_here.ipynb").read_bytes()
    assert tracked() == before


def tracked() -> dict[str, float]:
    """Return when each published notebook was last written."""
    return {path.name: path.stat().st_mtime for path in notebooks_path().iterdir() if path.is_file()}
