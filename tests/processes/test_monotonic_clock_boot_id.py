from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rtlab.processes.monotonic_clock_boot_id import boot_id


def test_two_processes_of_one_boot_agree():
    code = "from rtlab.processes.monotonic_clock_boot_id import boot_id; print(boot_id())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == str(boot_id())


def test_without_a_name_for_the_boot_there_is_none(monkeypatch: pytest.MonkeyPatch):
    def missing(_: Path) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", missing)
    assert boot_id() is None
