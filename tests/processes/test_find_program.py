from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rtlab.processes.find_program import find_program


def test_programs_of_this_environment_are_found_without_the_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert find_program(Path(sys.executable).name) is not None
    assert find_program("no-such-program") is None
