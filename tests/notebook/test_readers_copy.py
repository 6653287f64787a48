from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from rtlab.errors import RtlabError
from rtlab.notebook import readers_copy as copies
from rtlab.notebook.strip_outputs_and_hash_source import cells_of, clean
from tests.refresh_moved_modules import TABLE, git, moved

ONE, TWO = "01_one.ipynb", "02_two.ipynb"


def notebook(*sources: str, outputs: bool = True) -> str:
    """Return a notebook's text, its cells run or not."""
    stream = [{"output_type": "stream", "name": "stdout", "text": "42\n"}] if outputs else []
    cells = [
        {
            "cell_type": "code",
            "execution_count": 1 if outputs else None,
            "metadata": {},
            "outputs": stream,
            "source": source,
        }
        for source in sources
    ]
    metadata = {"widgets": {"state": {}}} if outputs else {}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "published"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / ".ipynb_checkpoints" / "x.ipynb").write_text("{}")
    (folder / ONE).write_text(notebook("1"))
    (folder / TWO).write_text(notebook("2", "import rtlab"))
    monkeypatch.setattr(copies, "notebooks_path", lambda: folder)
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine"


@pytest.mark.usefixtures("published")
def test_what_is_handed_out_holds_no_outputs(mine: Path):
    assert copies.hand_out(mine) == ([ONE, TWO], [], [], {})
    assert sorted(path.name for path in mine.iterdir()) == [".rtlab-handed-out.json", ONE, TWO]
    text = (mine / ONE).read_text()
    assert json.loads(text)["cells"][0]["outputs"] == []
    assert json.loads(text)["cells"][0]["execution_count"] is None
    assert "widgets" not in text
    assert copies.hand_out(mine) == ([], [], [], {})


def test_a_notebook_that_was_only_run_is_updated(published: Path, mine: Path):
    copies.hand_out(mine)
    run = notebook("1", "")  # outputs, and the empty cell that JupyterLab adds
    (mine / ONE).write_text(run)
    assert copies.hand_out(mine) == ([], [], [], {})
    assert (mine / ONE).read_text() == run  # its outputs are the reader's until there is something newer
    (published / ONE).write_text(notebook("one"))
    assert copies.hand_out(mine) == ([], [ONE], [], {})
    assert json.loads((mine / ONE).read_text())["cells"][0]["source"] == "one"


def test_a_changed_notebook_is_kept_and_an_older_version_is_announced(published: Path, mine: Path):
    copies.hand_out(mine)
    edited = notebook(
        "from rtlab.measure.tap import Tap\nimport rtlab.doctor\nfrom rtlab.models import detection as laws"
    )
    (mine / ONE).write_text(edited)
    for _ in range(2):
        assert copies.hand_out(mine) == ([], [], [ONE], {})
    (published / ONE).write_text(notebook("one"))
    names = {
        "rtlab.measure.tap": "rtlab.capture.tcp_tap",
        "rtlab.doctor": "rtlab.notebook.environment_check",
        "rtlab.models.detection": "rtlab.models.detection_time_distribution",
    }
    for _ in range(2):
        assert copies.hand_out(mine) == ([], [], [], {ONE: names})
        assert (mine / ONE).read_text() == edited


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("content", ["not JSON", "{}", "[1]", '{"cells": 3}'])
def test_a_broken_file_counts_as_edited(mine: Path, content: str):
    copies.hand_out(mine)
    (mine / ONE).write_text(content)
    assert copies.hand_out(mine).edited == [ONE]
    (mine / copies.MANIFEST).write_text("garbage")
    assert copies.hand_out(mine).outdated == {ONE: {}}
    assert (mine / ONE).read_text() == content


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("number", ["1", "01", "01_one", "01_one.ipynb"])
def test_a_reset_keeps_every_old_one(mine: Path, number: str):
    assert copies.reset(mine, number) == (ONE, None)
    for count in (1, 2):
        (mine / ONE).write_text(f"try {count}")
        assert copies.reset(mine, number) == (ONE, f"01_one.before-reset-{count}.ipynb")
        assert (mine / f"01_one.before-reset-{count}.ipynb").read_text() == f"try {count}"
    copies.hand_out(mine)
    assert copies.hand_out(mine) == ([], [], [], {})


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("number", ["3", "", "one", "../published/01_one"])
def test_an_unknown_notebook_is_answered_with_those_there_are(mine: Path, number: str):
    with pytest.raises(RtlabError, match="there are 01_one, 02_two"):
        copies.reset(mine, number)


def test_the_published_folder_is_never_written(published: Path, tmp_path: Path):
    before = (published / ONE).read_text()
    for folder in (published, published / "below"):
        with pytest.raises(RtlabError, match="--edit"):
            copies.hand_out(folder)
        with pytest.raises(RtlabError, match="--edit"):
            copies.reset(folder, "1")
    assert (published / ONE).read_text() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(RtlabError, match=r"cannot copy the notebooks to .*file"):
        copies.hand_out(tmp_path / "file" / "folder")


def test_each_moved_module_is_gone_and_its_new_name_is_there():
    table: dict[str, str] = json.loads(TABLE.read_text("utf-8"))
    there = {name for name in (*table, *table.values()) if exists(name)}
    assert there == set(table.values())


def exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_no_move_is_missing_from_the_table():
    """`python -m tests.refresh_moved_modules` writes it again."""
    try:
        git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, or no clone")
    assert moved().items() <= json.loads(TABLE.read_text("utf-8")).items()


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("source", [None, 7, ["a", None], {"a": 1}])
def test_a_cell_whose_source_is_no_text_makes_the_file_no_notebook(mine: Path, source: object):
    raw = json.dumps({"cells": [{"cell_type": "code", "source": source}]}).encode()
    assert cells_of(raw) is None
    assert clean(raw) == raw
    copies.hand_out(mine)
    (mine / ONE).write_bytes(raw)
    assert copies.hand_out(mine).edited == [ONE]


@pytest.mark.parametrize(
    "line",
    [
        "from {module} import {name}",
        "from {module} import (\n    other,\n    {name},  # a comment\n)",
        "from {module} import(other, {name})",
    ],
)
def test_a_moved_import_is_found_in_parentheses_too(line: str):
    former, present = next(iter(json.loads(TABLE.read_text("utf-8")).items()))
    module, _, name = former.rpartition(".")
    cell = {"cell_type": "code", "source": line.format(module=module, name=name)}
    assert copies.moved_imports(json.dumps({"cells": [cell]}).encode()) == {former: present}


def test_a_bare_import_does_not_hide_the_next_line():
    former, present = "rtlab.connection", "rtlab.client.connection"
    cell = {"cell_type": "code", "source": f"import rtlab\nimport {former}"}
    assert copies.moved_imports(json.dumps({"cells": [cell]}).encode()) == {former: present}
