"""The rules of `tests/plugins/strict.py`, tried on small suites of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SUITE = {
    "test_fine.py": "def test(): pass",
    "test_skipped.py": "import pytest\ndef test(): pytest.skip('no redis here')",
    "test_all_skipped.py": "import pytest\npytest.skip('no nginx here', allow_module_level=True)",
    "test_excused.py": "import pytest\n@pytest.mark.xfail\ndef test(): assert False",
}


def report(folder: Path, workers: int, **environment: str) -> str:
    for name, code in SUITE.items():
        (folder / name).write_text(code + "\n")
    command = [sys.executable, "-m", "pytest", "-rA", "-c", "/dev/null", "--rootdir", str(folder)]
    command += ["-p", "xdist", "-p", "tests.plugins.strict", "-p", "tests.plugins.stages", "-n", str(workers)]
    command += ["--continue-on-collection-errors", str(folder)]
    bare = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    env = {"PYTHONPATH": str(ROOT), **bare, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, env=env, cwd=folder
    ).stdout


@pytest.mark.parametrize("workers", [0, 2])
def test_an_expected_failure_is_a_failure_and_a_skip_is_not(tmp_path: Path, workers: int):
    said = report(tmp_path, workers)
    assert "1 failed, 1 passed, 2 skipped" in said
    assert "FAILED test_excused.py" in said


@pytest.mark.parametrize("workers", [0, 2])
def test_a_skip_is_a_failure_where_all_is_required(tmp_path: Path, workers: int):
    said = report(tmp_path, workers, RTLAB_REQUIRE_ALL="1")
    assert "2 failed, 1 passed, 1 error" in said
    assert "no redis here" in said
    assert "no nginx here" in said
