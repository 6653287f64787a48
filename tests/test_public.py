from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

import rtlab

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(rtlab.__path__, "rtlab.")
    if not found.name.endswith("__main__")
)


def test_every_public_name_can_be_imported():
    for name in rtlab.__all__:
        assert getattr(rtlab, name) is not None
        assert inspect.ismodule(getattr(rtlab, name)) == (name in rtlab._MODULES)
    assert set(rtlab.__all__) <= set(dir(rtlab))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rtlab.nonsense


def test_what_editors_see_is_what_there_is():
    tree = ast.parse(Path(rtlab.__file__).read_text(encoding="utf-8"))
    guard = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: whole if (whole := f"{node.module}.{alias.name}") in MODULES else node.module
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == rtlab._HOME


NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@cache
def imported_by(notebook: Path) -> set[tuple[str, str]]:
    """Return the module and the name of everything that a notebook imports from rtlab."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    plain = TransformerManager().transform_cell  # a cell may hold %magic
    nodes = [node for source in code if "rtlab" in source for node in ast.walk(ast.parse(plain(source)))]
    return {
        (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rtlab"
        for alias in node.names
    }


def test_what_three_notebooks_import_is_a_public_name():
    count = Counter(wanted for notebook in NOTEBOOKS for wanted in imported_by(notebook))
    assert len(NOTEBOOKS) >= 9
    assert {wanted for wanted, n in count.items() if n >= 3 and wanted[0] != "rtlab"} == set()


def test_a_notebook_takes_a_public_name_from_rtlab_itself():
    deep = {
        (notebook.name, *wanted)
        for notebook in NOTEBOOKS
        for wanted in imported_by(notebook)
        if wanted[0] != "rtlab" and rtlab._HOME.get(wanted[1]) == wanted[0]
    }
    assert deep == set()


@pytest.mark.parametrize("name", MODULES)
def test_each_module_says_what_is_public(name: str):
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        tree = ast.parse(Path(module.__file__ or "").read_text("utf-8"))
        named = ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        assert not [node for node in tree.body if isinstance(node, named)]
        return
    assert (module.__doc__ or "").strip()
    public = module.__all__
    assert len(public) == len(set(public))
    assert [entry for entry in public if not hasattr(module, entry)] == []
    made = [entry for entry in public if getattr(getattr(module, entry), "__module__", "") == name]
    described = [
        entry for entry in made if inspect.isclass(x := getattr(module, entry)) or inspect.isroutine(x)
    ]
    assert [entry for entry in described if not getattr(module, entry).__doc__] == []


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_come_out_as_they_say(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(os, "environ", os.environ.copy())  # one example sets a variable
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0, capsys.readouterr().out


def test_importing_rtlab_imports_nothing_heavy():
    heavy = ("numpy", "pandas", "msgspec", "asyncio", "typer")
    code = f"import sys, rtlab; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"
