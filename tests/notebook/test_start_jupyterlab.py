from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rtlab.errors import RtlabError
from rtlab.notebook import start_jupyterlab as jupyter


def test_the_readers_folder_is_at_home_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    opening = jupyter.workspace(None)
    assert opening.root == tmp_path / "rtlab-notebooks"
    assert (opening.root / opening.notebook).is_file()
    assert opening.said[0] == f"your notebooks: {opening.root}"
    assert jupyter.workspace(None).said == opening.said[:1]  # nothing new, nothing changed


def test_edit_opens_the_published_notebooks_and_needs_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opening = jupyter.workspace(None, edit=True)
    assert (opening.root / "pyproject.toml").is_file()
    assert opening.notebook == "notebooks/00_start_here.ipynb"
    with pytest.raises(RtlabError, match="leave out --dir"):
        jupyter.workspace(tmp_path, edit=True)
    monkeypatch.setattr(jupyter, "checkout", lambda: None)
    with pytest.raises(RtlabError, match="needs a clone"):
        jupyter.workspace(None, edit=True)


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
