from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rtlab.errors import RtlabError
from rtlab.notebook import workspace as jupyter


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "published"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / ".ipynb_checkpoints" / "x.ipynb").write_text("{}")
    (folder / "00_start_here.ipynb").write_text("zero")
    (folder / "02_websocket.ipynb").write_text("two")
    monkeypatch.setattr(jupyter, "notebooks_path", lambda: folder)
    return folder


@pytest.mark.usefixtures("published")
def test_notebooks_are_copied_once_and_changes_are_kept(tmp_path: Path):
    folder = tmp_path / "mine"
    assert jupyter.copy_notebooks(folder) == (["00_start_here.ipynb", "02_websocket.ipynb"], [])
    assert jupyter.copy_notebooks(folder) == ([], [])
    (folder / "02_websocket.ipynb").write_text("my answers")
    assert jupyter.copy_notebooks(folder) == ([], ["02_websocket.ipynb"])
    assert (folder / "02_websocket.ipynb").read_text() == "my answers"


@pytest.mark.usefixtures("published")
def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RtlabError, match=r"cannot copy the notebooks to .*file"):
        jupyter.copy_notebooks(tmp_path / "file" / "folder")


def test_a_clone_uses_its_own_notebooks():
    root, notebook, copied = jupyter.workspace(None)
    assert (root / "pyproject.toml").is_file()
    assert notebook == "notebooks/00_start_here.ipynb"
    assert copied == ([], [])


@pytest.mark.usefixtures("published")
def test_outside_a_clone_the_folder_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jupyter, "checkout", lambda: None)
    with pytest.raises(RtlabError, match="rtlab lab --dir FOLDER"):
        jupyter.workspace(None)
    root, notebook, copied = jupyter.workspace(tmp_path / "mine")
    assert (root, notebook) == (tmp_path / "mine", "00_start_here.ipynb")
    assert len(copied.new) == 2


def test_a_named_port_is_that_port_or_an_error():
    command = jupyter.jupyterlab_command(Path("/x"), "a.ipynb", port=9000, browser=False)
    assert "--ServerApp.port=9000" in command
    assert "--ServerApp.port_retries=0" in command
    assert "--no-browser" in command
    free = jupyter.jupyterlab_command(Path("/x"), "a.ipynb", port=None, browser=True)
    assert not [word for word in free if "port" in word or "browser" in word]


def test_the_settings_are_laid_under_the_users_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    ours, mine = jupyter.environment()["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert mine == "/mine"
    assert json.loads((Path(ours) / "jupyter_lab_config.json").read_text())["LabApp"]["news_url"] is None
