from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import jupyter_core.paths
import psutil
import pytest

from rtlab.notebook import environment_check


def test_an_old_or_missing_package_is_broken(monkeypatch: pytest.MonkeyPatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "anywidget":
            return "0.9.0"
        if name == "msgspec":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    (check,) = environment_check.check_packages()
    assert check.status == "broken"
    assert "anywidget 0.9.0, expected >=0.9.20" in check.found
    assert "msgspec is missing" in check.found
    assert "pip install" in check.advice


def test_a_missing_front_end_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(jupyter_core.paths, "jupyter_path", lambda *_: [str(tmp_path)])
    checks = environment_check.check_front_end()
    assert [check.status for check in checks] == ["broken", "broken"]
    assert "jupyterlab_widgets" in checks[0].advice
    manager = tmp_path / "@jupyter-widgets" / "jupyterlab-manager"
    manager.mkdir(parents=True)
    (manager / "package.json").write_text(json.dumps({"version": "5.0.0"}))
    assert environment_check.check_front_end()[0] == (
        "front end",
        "ok",
        "@jupyter-widgets/jupyterlab-manager 5.0.0",
        "",
    )


def test_a_check_that_cannot_run_is_a_fault_and_no_traceback():
    def fails() -> environment_check.EnvironmentCheck:
        raise OSError("no such file")

    (check,) = environment_check.attempt("kernel", fails)
    assert check == ("kernel", "broken", "OSError: no such file", environment_check._REINSTALL)


class Parent:
    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def cmdline(self) -> list[str]:
        return self.words

    def environ(self) -> dict[str, str]:
        return {"PATH": "/usr/bin"}


@pytest.mark.parametrize(
    ("words", "well"),
    [
        ([sys.executable, "/x/bin/jupyter-lab"], True),
        (["/opt/other/bin/python3", "/opt/other/bin/jupyter-lab"], False),
        (["/usr/share/code/node", "server.js"], True),
    ],
)
def test_a_notebook_learns_whether_its_jupyterlab_is_the_right_one(
    monkeypatch: pytest.MonkeyPatch, words: list[str], well: bool
):
    monkeypatch.setattr(psutil.Process, "parent", lambda _: Parent(*words))
    report = environment_check.notebook_report()
    if well:
        assert report == "Packages, widgets, and the JupyterLab beside this kernel: all well."
    else:
        assert "JupyterLab runs in /opt/other" in report
        assert f"{Path(sys.prefix) / 'bin' / 'rtlab'} lab" in report


def test_the_report_of_a_kernel_is_the_same_sentence():
    code = "from rtlab.notebook.environment_check import notebook_report; print(notebook_report())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "Packages, widgets, and the JupyterLab beside this kernel: all well.\n"
