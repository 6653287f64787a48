"""The child's side of the contract: one line of JSON, a watched pipe, clear errors."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.server.command_line import make_parser
from tests.server.conftest import TOKEN, Child


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rtlab.server", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_line_tells_port_and_pid_and_no_token_that_was_given(start: Callable[..., Child]) -> None:
    child = start()
    assert child.hello == {"port": child.port, "pid": child.process.pid}
    assert httpx.get(f"{child.url}/healthz", trust_env=False).json() == {"status": "ok"}
    assert TOKEN not in httpx.get(child.url, trust_env=False).text


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_both_loops_serve(start: Callable[..., Child], loop: str) -> None:
    assert start("--loop", loop).stats()["sessions"] == 0


def test_the_stats_tell_what_leak_checks_need(start: Callable[..., Child]) -> None:
    stats = start("--node", "n7").stats()
    assert stats["node"] == "n7"
    assert stats["connections"] == {"websocket": 0, "sse": 0, "longpoll": 0, "webrtc": 0}
    for name in ("tasks", "descriptors", "rss_bytes", "cpu_seconds"):
        assert stats[name] > 0
    for name in ("sessions", "rooms", "feeds", "queued_bytes", "backlog_bytes", "slow_clients"):
        assert stats[name] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "99999"], "expected a port from 0 to 65535"),
        (["--port", "x"], "expected a port"),
        (["--heartbeat", "-1"], "expected seconds"),
        (["--heartbeat", "nan"], "expected seconds"),
        (["--max-connections", "0"], "expected a whole number from 1"),
        (["--frobnicate"], "unrecognized arguments"),
        (["--loop", "trio"], "invalid choice"),
    ],
)
def test_wrong_options_are_one_clear_error(options: list[str], said: str) -> None:
    result = run(*options)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def numbers() -> list[argparse.Action]:
    """The options that take a number, by trying one."""
    found: list[argparse.Action] = []
    for action in make_parser()._actions:
        try:
            taken = action.type is not None and action.type("3")  # type: ignore[operator]
        except argparse.ArgumentTypeError:
            continue
        if isinstance(taken, int | float) and not isinstance(taken, bool):
            found.append(action)
    return found


@pytest.mark.parametrize("option", [action.option_strings[0] for action in numbers()])
def test_a_limit_of_zero_means_what_its_help_says_or_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    action = next(action for action in numbers() if option in action.option_strings)
    if option == "--watch-fd" or re.search(r"\b0\b", action.help or ""):
        make_parser().parse_args([option, "0"])
        return
    with pytest.raises(SystemExit, match="2"):
        make_parser().parse_args([option, "0"])
    assert f"argument {option}: expected " in capsys.readouterr().err


@pytest.mark.parametrize(
    "limit", ["user messages 0 5", "user messages 5 0", "room bytes 0 0", "x messages 1 1"]
)
def test_a_rate_limit_of_zero_is_refused_with_an_example(
    limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--rate-limit", limit])
    assert "expected a rate limit like 'connection messages 50 100'" in capsys.readouterr().err


async def test_a_lab_says_why_a_token_cannot_live_for_no_time() -> None:
    with pytest.raises(LabError, match=r"--token-ttl: expected seconds from 0\.001 to 86400"):
        await Lab.start(security="right", token_ttl=0)


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port))
    assert result.returncode == 1
    assert result.stderr.startswith(f"rtlab.server: cannot serve 127.0.0.1:{port}: ")
    assert result.stderr.count("\n") == 1


def test_a_descriptor_that_is_not_open_is_one_line() -> None:
    result = run("--watch-fd", "999")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_the_child_ends_with_its_parent() -> None:
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "rtlab.server", "--watch-fd", str(ours)],
        pass_fds=[ours],
        stdout=subprocess.PIPE,
    ) as process:
        os.close(ours)
        assert process.stdout is not None
        assert process.stdout.readline()
        os.write(theirs, b"not the end")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        os.close(theirs)
        assert process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_stop_in_order(start: Callable[..., Child], number: signal.Signals) -> None:
    child = start()
    child.process.send_signal(number)
    assert child.process.wait(5) == 0
    assert child.stop() == ""


def test_an_open_server_brings_nothing_that_only_others_need() -> None:
    only_others = {"jwt", "cryptography", "jsonschema_rs"}
    code = f"import sys, rtlab.server.__main__; print(*sys.modules.keys() & {only_others})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
