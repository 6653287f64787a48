from __future__ import annotations

import ast
import copy
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rtlab.lab.lab import Lab
from rtlab.lab.lab_options_as_server_arguments import ServerOptions
from tests.notebook_exercises import solutions
from tests.notebook_form import EXCUSED, RULES
from tests.notebook_rules import SKELETON, minutes_of, problems, rows_missing

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@cache
def read(path: Path) -> Any:
    """Return a notebook, which no test may change: to read one takes longer than most rules."""
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_keeps_the_rules(path: Path):
    assert problems(path) == []


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_keeps_to_the_form_or_is_excused_by_name(path: Path, rule: str):
    found = RULES[rule](read(path))
    if path.stem in EXCUSED[rule]:
        assert found, f"{path.stem} keeps {rule} now: take it out of EXCUSED in tests/notebook_form.py"
    else:
        assert found == []


def test_only_notebooks_that_exist_are_excused():
    assert set(EXCUSED) == set(RULES)
    assert set().union(*EXCUSED.values()) <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_solution_in_code_is_run_by_a_test(path: Path):
    wanted = {f"test_exercise_{n}" for n, code in solutions(read(path)).items() if code}
    tests = ROOT / "tests" / "exercises" / f"test_{path.name[:2]}.py"
    text = tests.read_text("utf-8") if tests.exists() else ""
    assert {
        name for name in wanted if not re.search(rf"^(?:async )?def {name}\b", text, re.MULTILINE)
    } == set()


def test_there_are_notebooks_with_numbers_of_their_own():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert "00" in numbers
    assert len(set(numbers)) == len(numbers)
    assert [path.name for path in (ROOT / "notebooks").iterdir() if not path.name.startswith(".")] != []


def test_the_readme_has_a_row_for_each_notebook():
    minutes = {path.name: minutes_of(path) for path in NOTEBOOKS}
    assert rows_missing((ROOT / "README.md").read_text(encoding="utf-8"), minutes) == []


# The rules themselves: a good notebook passes, and each way to break it is seen.


def good() -> Any:
    cells = [new_markdown_cell("# Title\n10 minutes. Prerequisites: none.")]
    cells += [new_markdown_cell(f"## {heading}") for heading in SKELETON]
    cells += [
        new_code_cell("lab = await Lab.start()", execution_count=1),
        new_code_cell("1 + 1", execution_count=2, outputs=[result({"text/plain": "2"})]),
        new_code_cell("await lab.stop()", execution_count=3),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def result(data: dict[str, Any]) -> Any:
    return new_output("execute_result", data, execution_count=2)


def write(folder: Path, notebook: Any, name: str = "07_topic.ipynb") -> Path:
    path = folder / name
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


def without_count(notebook: Any) -> None:
    notebook.cells[-2].execution_count = None
    notebook.cells[-2].outputs = []


def executed_twice(notebook: Any) -> None:
    notebook.cells[-1].execution_count = 9


def widget_state(notebook: Any) -> None:
    notebook.metadata["widgets"] = {}


def error_output(notebook: Any) -> None:
    notebook.cells[-2].outputs = [new_output("error", ename="OSError", evalue="no", traceback=[])]


def widget_view(notebook: Any) -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "Plot"}
    notebook.cells[-2].outputs = [new_output("display_data", view)]


def address(notebook: Any) -> None:
    notebook.cells[-2].outputs = [result({"text/plain": "<object at 0x7f0a1b2c3d4e>"})]


def address_in_a_stream(notebook: Any) -> None:
    notebook.cells[-2].outputs = [new_output("stream", name="stdout", text="<object at 0x7f0a1b2c3d4e>\n")]


def port(notebook: Any) -> None:
    notebook.cells[-2].outputs = [result({"text/html": "ws://127.0.0.1:41234/ws"})]


def other_kernel(notebook: Any) -> None:
    notebook.metadata["kernelspec"]["name"] = "my-env"


def heading_lost(notebook: Any) -> None:
    del notebook.cells[SKELETON.index("Break it") + 1]


def headings_swapped(notebook: Any) -> None:
    notebook.cells[1], notebook.cells[2] = notebook.cells[2], notebook.cells[1]


def no_title(notebook: Any) -> None:
    del notebook.cells[0]


def no_minutes(notebook: Any) -> None:
    notebook.cells[0].source = "# Title\nPrerequisites: none."


def lab_left_running(notebook: Any) -> None:
    del notebook.cells[-1]


def long_cell(notebook: Any) -> None:
    notebook.cells[-2].source = "1 + 1\n" * 60


def skipped_cell(notebook: Any) -> None:
    notebook.cells[-2].source = "# NBVAL_SKIP\n1 + 1"


def heavy(notebook: Any) -> None:
    notebook.cells[-2].outputs = [result({"image/png": "A" * 700_000})]


def from_outside(notebook: Any) -> None:
    notebook.cells[-2].outputs = [result({"text/html": '<script src="x.js"></script>'})]


SOLVED = """\
## Exercises

1. Which round trip?
2. Why?

<details><summary>Hint 1</summary>

1. A push goes one way.

</details>
<details><summary>Solution 1</summary>

```python
slow = 3
```

</details>
<details><summary>Solution 2</summary>Because.</details>

## Interview questions

<details><summary>Which is quicker?</summary>

- Neither.

</details>"""


def formed() -> Any:
    opening = "# Title\nWithout `rtlab lab`: *Edit → Clear Outputs of All Cells*."
    shown = {"text/plain": "✓ quick: holds", "text/html": '<td data-verdict="holds">'}
    verdicts = new_code_cell("v = Verdicts()\nv", outputs=[result(shown)])
    return new_notebook(cells=[new_markdown_cell(opening), verdicts, new_markdown_cell(SOLVED)])


def prints(text: str, kind: str = "stream") -> Any:
    def damage(notebook: Any) -> None:
        output = new_output("stream", text=text) if kind == "stream" else result({"text/plain": text})
        notebook.cells[1].outputs.append(output)

    return damage


def ends_as(verdict: str) -> Any:
    def damage(notebook: Any) -> None:
        notebook.cells[1].outputs.append(result({"text/html": f'<td data-verdict="{verdict}">'}))

    return damage


def becomes(cell: int, old: str, new: str) -> Any:
    def damage(notebook: Any) -> None:
        assert old in notebook.cells[cell].source
        notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)

    return damage


@pytest.mark.parametrize(
    ("damage", "rule", "complaint"),
    [
        (prints("all came: True\n"), "bare_booleans", "all came: True"),
        (prints("[True, 'x']", "result"), "bare_booleans", "bare boolean"),
        (prints("   name  holds\n0  sse   False", "result"), "bare_booleans", "bare boolean"),
        (becomes(1, "v = ", "# NBVAL_IGNORE_OUTPUT\nv = "), "comment_marks", "a cell tag"),
        (
            becomes(1, "v = ", "for x in y:\n" + "    axes.plot(\n x)\n" * 5 + "v = "),
            "chart_plumbing",
            "10 lines",
        ),
        (
            becomes(2, "<details><summary>Which is quicker?</summary>", ""),
            "open_answers",
            "nothing is folded",
        ),
        (
            becomes(2, "<details><summary>Which", "- **Who?** Me.\n\n<details><summary>Which"),
            "open_answers",
            "Who?",
        ),
        (becomes(2, "2. Why?", "2. Why?\n\n**Solution.** Because."), "open_answers", "stands open"),
        (becomes(2, "Solution 2", "Answer 2"), "unsolved_exercises", "exercise 2"),
        (becomes(1, "Verdicts()", "dict()"), "no_verdicts", "no claim"),
        (ends_as("fails"), "failed_rows", "a published row fails"),
        (ends_as("blind"), "failed_rows", "a published row blind"),
        (becomes(0, "Clear", "Keep"), "stale_outputs", "how to clear"),
        (becomes(1, "v = ", "guess.reveal(3)\nv = "), "hidden_answers", "0 shown"),
    ],
)
def test_each_rule_of_the_form_sees_its_fault(damage: Any, rule: str, complaint: str):
    notebook = formed()
    assert {name: check(notebook) for name, check in RULES.items()} == {name: [] for name in RULES}
    damage(notebook)
    found = {name: problems for name, check in RULES.items() if (problems := check(notebook))}
    assert list(found) == [rule]
    assert complaint in found[rule][0]


@pytest.mark.parametrize("text", ["Options(x=True)", "‹True›", "`True` is", "Untrue", "'True'"])
def test_a_boolean_with_a_name_is_not_bare(text: str):
    notebook = formed()
    prints(text)(notebook)
    assert RULES["bare_booleans"](notebook) == []


def test_solutions_are_read_as_a_reader_unfolds_them():
    assert solutions(formed()) == {1: "slow = 3\n", 2: ""}


def test_a_good_notebook_passes(tmp_path: Path):
    assert problems(write(tmp_path, good())) == []


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (without_count, "never executed"),
        (executed_twice, "not executed once, in order"),
        (widget_state, "metadata.widgets"),
        (error_output, "ended with OSError"),
        (widget_view, "widget view"),
        (address, "memory address"),
        (address_in_a_stream, "memory address"),
        (port, "a port"),
        (other_kernel, "kernelspec"),
        (heading_lost, "'Break it' is missing"),
        (headings_swapped, "out of order"),
        (no_title, "markdown title"),
        (no_minutes, "state the minutes"),
        (lab_left_running, "reset or stop the lab"),
        (long_cell, "60 lines"),
        (skipped_cell, "never run"),
        (heavy, "bytes, more than"),
        (from_outside, "script from outside"),
    ],
)
def test_a_broken_notebook_is_seen(tmp_path: Path, damage: Any, complaint: str):
    notebook = copy.deepcopy(good())
    damage(notebook)
    found = problems(write(tmp_path, notebook))
    assert len(found) == 1
    assert complaint in found[0]


def test_a_file_that_is_no_notebook_is_seen(tmp_path: Path):
    path = tmp_path / "07_topic.ipynb"
    path.write_text("{}")
    assert "not a valid notebook" in problems(path)[0]
    path.write_text("not even JSON")
    assert "not a valid notebook" in problems(path)[0]


def test_a_name_without_a_number_is_seen(tmp_path: Path):
    assert "NN_topic" in problems(write(tmp_path, good(), "Untitled.ipynb"))[0]


def test_the_map_needs_no_skeleton(tmp_path: Path):
    notebook = good()
    notebook.cells[1 : 1 + len(SKELETON)] = []
    assert problems(write(tmp_path, notebook, "00_start_here.ipynb")) == []


def test_a_row_needs_the_link_and_the_minutes(tmp_path: Path):
    assert minutes_of(write(tmp_path, good())) == "10"
    row = "| [one](notebooks/01_one.ipynb) | why? | 20 |"
    assert rows_missing(row, {"01_one.ipynb": "20"}) == []
    assert rows_missing(row, {"01_one.ipynb": "25"}) == ["01_one.ipynb"]
    assert rows_missing(row, {"02_two.ipynb": "20"}) == ["02_two.ipynb"]


INLINE = re.compile(r"`([^`\n]+)`")


def options_of_labs(code: str) -> set[str]:
    """Return the options that a piece of Python gives to a lab; none when it is no Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set()
    labs = {"Lab", "Lab.start"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in labs]
    return {keyword.arg or "**" for call in calls for keyword in call.keywords}


@pytest.mark.parametrize("path", [*NOTEBOOKS, ROOT / "README.md"], ids=lambda path: path.name)
def test_what_readers_are_told_to_type_has_options_that_exist(path: Path):
    known = set(inspect.signature(Lab).parameters) | set(ServerOptions.__annotations__)
    texts = [path.read_text("utf-8")]
    if path.suffix == ".ipynb":
        cells: list[Any] = read(path).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    told = {option for text in texts for code in INLINE.findall(text) for option in options_of_labs(code)}
    assert told - known == set()


def test_an_option_that_does_not_exist_is_seen():
    assert options_of_labs("lab = await Lab.start(nix=1, faults=True)") == {"nix", "faults"}
    assert options_of_labs("Lab(") == set()
