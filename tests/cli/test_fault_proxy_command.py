"""``rtlab proxy``: a stranger's TCP service behind it, a script from a file, Toxiproxy's API."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from rtlab.cli import main as cli
from rtlab.cli.fault_proxy_command import _line
from rtlab.faults.fault_trace import TraceEvent

RTLAB = str(Path(sys.executable).with_name("rtlab"))


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """A TCP service that is no part of rtlab."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while data := connection.recv(4096):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [RTLAB, "proxy", *arguments, "--api", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def talk_on(client: socket.socket) -> None:
    """Toxiproxy's reset, too, comes with the next data."""
    while True:
        client.sendall(b"again")
        assert client.recv(100) != b""


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def test_a_service_gets_faults_from_a_script_and_from_toxiproxys_api(echo: str, tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({"name": "tea", "seed": 1, "steps": [{"do": "mark", "text": "boiling"}]}))
    with running(echo, "--no-token", "--json", "--script", str(file), "--seed", "7") as process:
        assert process.stdout is not None
        about = json.loads(process.stdout.readline())
        with socket.create_connection(address(about["listen"]), timeout=20) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
            with httpx.Client(base_url=about["api"], trust_env=False, timeout=20) as http:
                (known,) = http.get("/proxies").raise_for_status().json().values()
                assert (known["name"], known["upstream"]) == ("upstream", echo)
                assert http.get("/script").json()["seed"] == 7
                http.post("/proxies/upstream/toxics", json={"type": "reset_peer"}).raise_for_status()
            with pytest.raises(ConnectionError):
                talk_on(client)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["kind"] for event in events]
    assert [event["detail"] for event in events if event["kind"] == "script_started"] == ["tea seed=7"]
    assert [event["detail"] for event in events if event["kind"] == "script_step"] == ["0.000 mark boiling"]
    assert {"opened", "toxic_added", "ended"} <= set(kinds)


def test_a_token_is_made_and_printed_and_people_get_lines(echo: str) -> None:
    with running(f"http://{echo}") as process:
        assert process.stdout is not None
        first, second, third = (process.stdout.readline().rstrip() for _ in range(3))
        listen, _, upstream = first.partition(" → ")
        api, _, token = second.partition(" speaks Toxiproxy's API, token ")
        assert (upstream, third) == (echo, "Ctrl-C stops it")
        assert httpx.get(f"{api}/proxies", trust_env=False).status_code == 401
        known = httpx.get(f"{api}/proxies", trust_env=False, headers={"Authorization": f"Bearer {token}"})
        assert known.json()["upstream"]["listen"] == listen
        with socket.create_connection(address(listen), timeout=20) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "opened" in out
    assert "#1" in out
    assert min(float(line.split()[0]) for line in out.splitlines()) >= 0  # seconds since the start


def test_a_script_that_contradicts_itself_is_refused_with_the_seed_that_is_played(
    echo: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "either.json"
    slow = {"at": [0, 2], "do": "add", "toxic": "latency", "name": "slow", "attributes": {"latency": 1}}
    file.write_text(json.dumps({"steps": [slow, {"at": 1, "do": "remove", "name": "slow"}]}))
    # The file's own seed, 0, adds it at 0.2 s, and 1 at 1.5 s.
    assert cli.run(["proxy", echo, "--script", str(file), "--seed", "1"]) == 1
    assert "remove slow at 1 s, when it is not there" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["redis"], "expected UPSTREAM as HOST:PORT with a port from 1 to 65535, got 'redis'"),
        (["127.0.0.1:0"], "expected UPSTREAM as HOST:PORT"),
        (["no-such-host.invalid:80", "--api", "0"], "no address is known for no-such-host.invalid:80"),
        (["127.0.0.1:9", "--script", "/nowhere"], "cannot read the script /nowhere: No such file"),
        (["127.0.0.1:9", "--script", __file__], "cannot be played: "),
        (["127.0.0.1:9", "--api", "0", "--listen", "127.0.0.1:x"], "invalid port"),
        (["ftp://127.0.0.1", "--api", "0"], "expected a URL that starts with http://"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["proxy", *arguments]) == 1
    err = capfd.readouterr().err.splitlines()
    assert said in err[-1]
    assert all(line.startswith("rtlab: ") for line in err)


def test_taken_ports_are_named(echo: str, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.run(["proxy", echo, "--api", str(port)]) == 1
        assert f"port {port} is taken: choose another with --api" in capfd.readouterr().err
        assert cli.run(["proxy", echo, "--api", "0", "--listen", f"127.0.0.1:{port}"]) == 1
        assert "address already in use" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("kind", "detail", "said"),
    [
        ("ended", "rst: cut", "rst: cut (9 B lost)"),
        ("proxy_down", "", "(9 B lost)"),
        ("toxic_removed", "", "(9 B held)"),
        ("affected", "", "(9 B held)"),
        ("affected", "swallows", "swallows (9 B)"),
    ],
)
def test_a_line_says_what_befell_the_bytes(kind: str, detail: str, said: str) -> None:
    assert _line(TraceEvent(0, 1.0, kind, "p", bytes=9, detail=detail), 0.0).endswith(f" {said}")
