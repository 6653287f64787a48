from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtlab.cli import main as cli
from rtlab.experiments.transports.comparison_result import COLUMNS
from rtlab.protocol.transport_names import TRANSPORTS

QUICK = ["compare", "--seconds", "0.2", "--rate", "100"]


def test_json_and_the_saved_run_are_the_same(capfd: pytest.CaptureFixture[str], tmp_path: Path):
    saved = tmp_path / "run.json"
    assert cli.run([*QUICK, "--json", "--save", str(saved)]) == 0
    out, _ = capfd.readouterr()
    said, kept = json.loads(out), json.loads(saved.read_text())
    assert list(said["transports"]) == list(TRANSPORTS)
    assert list(said["transports"]["sse"]) == list(COLUMNS)
    about = kept.pop("about")
    assert kept == said
    assert about["command"].startswith("rtlab compare --seconds 0.2 --rate 100 --size 100 --save ")
    assert {"date", "machine", "versions"} <= set(about)


def test_the_table_names_all_four(capfd: pytest.CaptureFixture[str]):
    assert cli.run(QUICK) == 0
    out, _ = capfd.readouterr()
    assert all(name in out for name in (*TRANSPORTS, "server CPU, ms/1,000 pushes", "bytes of a push"))
    assert not any(key in out for key in COLUMNS if "_" in key)  # those are for programs
    assert max(map(len, out.splitlines())) <= 80
    assert "100 messages/s of 100 B, direct" in out


def test_a_wrong_load_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]):
    assert cli.run(["compare", "--size", "100000"]) == 2
    assert "Invalid value for '--size'" in capfd.readouterr().err
