"""The same judges locally and in CI."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def judge(*command: str) -> None:
    program = BIN / command[0]
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.quick
def test_ruff_finds_nothing():
    judge("ruff", "check", "--no-cache")


@pytest.mark.quick
def test_the_code_is_formatted():
    judge("ruff", "format", "--check", "--no-cache")


@pytest.mark.quick
def test_imports_point_down_only():
    judge("lint-imports", "--no-cache", "--no-logo")


@pytest.mark.timeout(610)
def test_pyright_is_content():
    judge("pyright")


@pytest.mark.quick
def test_no_type_alias_is_defined_twice():
    modules: dict[str, list[str]] = {}
    for path in (ROOT / "rtlab").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            # An alias is capitalised, a constant is in capitals; what only passes a name on defines nothing.
            if not isinstance(node, ast.Assign) or isinstance(node.value, (ast.Name, ast.Attribute)):
                continue
            if re.match(r"[A-Z]\w*[a-z]", text := ast.unparse(node)):
                modules.setdefault(text, []).append(str(path.relative_to(ROOT)))
    assert {text: where for text, where in modules.items() if len(where) > 1} == {}


@pytest.mark.quick
def test_no_module_is_too_long_to_read():
    long = {
        path.name: lines
        for path in (ROOT / "rtlab").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
