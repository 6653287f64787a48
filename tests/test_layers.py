"""What import-linter's contracts cannot say: no circles inside a package, private modules stay private."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "rtlab"

#: What is left to mend, each with its reason. Aim: nothing.
KNOWN_CIRCLES: set[tuple[str, str]] = set()
KNOWN_PRIVATE: set[tuple[str, str]] = set()
KNOWN_DOCSTRINGS: set[str] = set()


@cache
def imports() -> dict[str, set[str]]:
    """Module → what it imports; imports for type checkers, and inside functions, count too."""
    graph = grimp.build_graph("rtlab", cache_dir=None, exclude_type_checking_imports=False)
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Circles, until cutting each somewhere would leave none."""
    graph = {name: set(targets) for name, targets in graph.items()}
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1][::-1]
            found.append(circle)
            graph[circle[0]].discard(circle[1])
        else:
            return found


def foreign_private(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Imports of a module `_name`, or of what is in a package `_name`, from outside of its parent."""
    return {
        (name, target)
        for name, targets in graph.items()
        for target in targets
        if (private := re.match(r"(.*?)\._(?!_)", target)) and not f"{name}.".startswith(f"{private[1]}.")
    }


def test_no_import_circles():
    graph = {
        name: {t for t in targets if (name, t) not in KNOWN_CIRCLES} for name, targets in imports().items()
    }
    assert [" → ".join(circle) for circle in circles(graph)] == []


def test_private_modules_are_imported_from_their_own_package_only():
    assert sorted(foreign_private(imports()) - KNOWN_PRIVATE) == []


def test_nothing_is_excused_without_need():
    graph = imports()
    assert {edge for edge in KNOWN_CIRCLES if edge[1] not in graph.get(edge[0], set())} == set()
    assert KNOWN_PRIVATE - foreign_private(graph) == set()


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: str(path.parent.relative_to(PACKAGE))
)
def test_each_package_says_what_lives_there_and_what_it_may_import(path: Path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraphs = text.split("\n\n")
    complete = len(paragraphs) > 1 and all(
        re.search(rf"\b{word}", text, re.I) for word in ("import", "never")
    )
    name = str(path.parent.relative_to(PACKAGE))
    assert complete != (name in KNOWN_DOCSTRINGS), text


def public_classes(sources: dict[str, str]) -> dict[str, list[str]]:
    """Name of a public class → the modules that define one so called; an alias of another module is none."""
    found: dict[str, list[str]] = {}
    for module, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(module)
    return found


def test_a_public_class_has_its_name_alone():
    sources = {str(p.relative_to(PACKAGE)): p.read_text(encoding="utf-8") for p in PACKAGE.rglob("*.py")}
    assert {name: homes for name, homes in public_classes(sources).items() if len(homes) > 1} == {}


def test_a_class_that_is_there_twice_is_found():
    sources = {
        "a": "class Step: ...\nclass _Own: ...",
        "b": "class Step: ...\nclass _Own: ...\nclass Row: ...",
    }
    assert public_classes(sources) == {"Step": ["a", "b"], "Row": ["b"]}


def test_a_circle_is_found_and_named():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e2"}, "e2": {"e"}}
    assert sorted(sorted(set(circle)) for circle in circles(graph)) == [["a", "b", "c"], ["e", "e2"]]


def test_a_private_module_is_found_across_packages():
    graph = {"p.a.x": {"p.a._y", "p.b._z"}, "p.b.c.d": {"p.b._z"}, "p.b": {"p.b._z", "p.__main__"}}
    assert foreign_private(graph) == {("p.a.x", "p.b._z")}
