from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError, RtlabError
from rtlab.testing.mock.mock_script_steps import PeerScript, echo

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [
    code
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    if "def test_" in code
]


def run(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a stranger's tests, who has nothing but pytest and rtlab."""
    (folder / "test_mine.py").write_text(tests, "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "rtlab.testing.pytest_plugin",
        "-p",
        "no:cacheprovider",
    ]
    # What is installed in this environment must not help; nor load the plugin a second time.
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, *options],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_pytest_finds_it_by_itself():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"rtlab": "rtlab.testing.pytest_plugin"}


def test_the_readmes_examples_pass_as_they_stand(tmp_path: Path):
    assert len(EXAMPLES) == 3
    done = run(tmp_path, "\n".join(EXAMPLES))
    assert "3 passed" in done.stdout, done.stdout + done.stderr


STRANGER = """
import os, sys

import pytest

EARLY = sorted(name for name in sys.modules if name.startswith("rtlab"))


def test_nothing_was_imported_before_a_fixture_was_used():
    assert EARLY == ["rtlab", "rtlab.testing", "rtlab.testing.pytest_plugin"]


def test_options(fault_script):
    assert (fault_script.seed, os.environ["RTLAB_PACE"]) == (42, "quick")


def test_ledger(ledger):
    assert ledger.accounts() == []


def test_no_loop(mock_websocket):
    mock_websocket()


def test_wrong(fake_clock, mock_websocket):
    from rtlab.testing.mock.mock_script_steps import PeerScript

    async def main():
        async with mock_websocket(PeerScript().expect({"type": "hello"})) as ws:
            await ws.send("goodbye")
            await ws.wait_closed()

    fake_clock.run(main())
"""


def test_fixtures_options_and_failures(tmp_path: Path):
    done = run(tmp_path, STRANGER, "--rtlab-seed", "42", "--rtlab-pace", "quick")
    assert "1 failed, 4 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "expected a running event loop, got none: make a MockWebSocket inside an async test" in done.stdout
    assert "connection 1: expected {'type': 'hello'}, got goodbye" in done.stdout
    assert "|---- goodbye ---" in done.stdout


def test_a_pace_that_is_none_is_refused(tmp_path: Path):
    done = run(tmp_path, "", "--rtlab-pace", "brisk")
    assert done.returncode == 4
    assert "--rtlab-pace: expected quick, normal, slow or a positive number, got 'brisk'" in done.stderr


# Its fixtures here, in rtlab's own tests


def test_a_lab_that_is_not_started_says_so(lab):
    with pytest.raises(LabError, match="expected a running lab, got one that is new"):
        _ = lab.url


async def test_a_lab_with_faults(faulty_lab):
    async with faulty_lab as lab, WebSocketConnection(lab.faults.ws_url) as conn:
        assert (await conn.request("echo", "hi")).payload == "hi"


async def test_a_mock_on_the_real_clock(mock_websocket):
    async with mock_websocket(PeerScript().answer(echo)) as ws:
        await ws.send("hi")
        assert await ws.recv() == "hi"


async def test_a_fake_clock_needs_a_test_that_is_no_coroutine(fake_clock):
    async def main():
        pass

    with pytest.raises(RtlabError, match="expected no running event loop"):
        fake_clock.run(main())
