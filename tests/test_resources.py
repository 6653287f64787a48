from __future__ import annotations

from pathlib import Path

import pytest

import rtlab
from rtlab import resources as data
from rtlab.errors import RtlabError


def test_a_clone_has_its_own_files():
    assert data.checkout() == Path(__file__).resolve().parent.parent
    assert rtlab.data_path("README.md").read_text(encoding="utf-8").startswith("# Recorded runs")
    assert data.notebooks_path().name == "notebooks"


def test_the_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "site-packages" / "rtlab"
    for folder, text in ((package / "_data", "packaged"), (package.parent / "data", "stray")):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text(text)
    monkeypatch.setattr(data, "_PACKAGE", package)
    assert data.data_path("a.txt").read_text() == "packaged"
    assert data.checkout() is None
    with pytest.raises(RtlabError, match="has no notebooks"):
        data.notebooks_path()


def test_the_error_names_what_exists():
    with pytest.raises(RtlabError, match=r"data/ has no 'nix\.csv'; it has .*README\.md"):
        rtlab.data_path("nix.csv")
    with pytest.raises(RtlabError, match="inside data/"):
        rtlab.data_path("../pyproject.toml")
