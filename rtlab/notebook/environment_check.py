"""Checks that a notebook's environment is complete: packages, widgets' front ends, JupyterLab, kernel."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

__all__ = [
    "EnvironmentCheck",
    "attempt",
    "check_front_end",
    "check_packages",
    "check_parent",
    "environment_of",
    "notebook_report",
]

_REINSTALL: Final = "install again: pip install -e . (in a clone), with the environment's own pip"
_SHOWN: Final = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget", "websockets", "aiohttp")


class EnvironmentCheck(NamedTuple):
    """One line of the report.

    Parameters
    ----------
    name : str
        What was checked.
    status : str
        ``"ok"``, ``"note"`` (works, but see the advice) or ``"broken"``.
    found : str
        What was found.
    advice : str
        What to do next; empty when all is well.
    """

    name: str
    status: Literal["ok", "note", "broken"]
    found: str
    advice: str = ""


def attempt(
    name: str, check: Callable[[], EnvironmentCheck | list[EnvironmentCheck]]
) -> list[EnvironmentCheck]:
    """Run a check; turn an exception in it into a ``"broken"`` line of the report."""
    try:
        made = check()
    except Exception as error:
        return [EnvironmentCheck(name, "broken", f"{type(error).__name__}: {error}", _REINSTALL)]
    return made if isinstance(made, list) else [made]


def check_packages() -> list[EnvironmentCheck]:
    """Check every requirement that rtlab's own metadata states."""
    from packaging.requirements import Requirement

    distribution = importlib.metadata.distribution("rtlab")
    wrong: list[str] = []
    for requirement in map(Requirement, distribution.requires or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, expected {requirement.specifier}")
    if wrong:
        return [EnvironmentCheck("packages", "broken", "; ".join(wrong), _REINSTALL)]
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SHOWN)
    return [EnvironmentCheck("rtlab", "ok", distribution.version), EnvironmentCheck("packages", "ok", found)]


def check_front_end() -> list[EnvironmentCheck]:
    """Check that the front ends of the widgets are where JupyterLab looks for them."""
    from jupyter_core.paths import jupyter_path

    checks: list[EnvironmentCheck] = []
    for name, package in (
        ("@jupyter-widgets/jupyterlab-manager", "jupyterlab_widgets"),
        ("anywidget", "anywidget"),
    ):
        for folder in jupyter_path("labextensions"):
            description = Path(folder) / name / "package.json"
            if description.is_file():
                version = json.loads(description.read_text(encoding="utf-8")).get("version", "?")
                checks.append(EnvironmentCheck("front end", "ok", f"{name} {version}"))
                break
        else:
            advice = f"install again: pip install --force-reinstall {package}"
            checks.append(EnvironmentCheck("front end", "broken", f"JupyterLab will not find {name}", advice))
    return checks


def environment_of(executable: str) -> Path:
    """Return the environment of a Python interpreter, or of a script in it; follows no symbolic links."""
    return Path(executable).absolute().parent.parent


def check_parent() -> EnvironmentCheck:
    """Check that the JupyterLab that started this kernel can show the widgets of its environment."""
    import psutil

    name = "JupyterLab and kernel"
    parent = psutil.Process().parent()
    words = parent.cmdline() if parent is not None else []
    if parent is None or not any("jupyter" in word or "pytest" in word for word in words):
        return EnvironmentCheck(name, "ok", "not started by JupyterLab")
    program = shutil.which(words[0], path=parent.environ().get("PATH")) or words[0]
    if environment_of(program) == Path(sys.prefix):
        return EnvironmentCheck(name, "ok", "share one environment")
    advice = f"close it, and start {Path(sys.prefix) / 'bin' / 'rtlab'} lab"
    return EnvironmentCheck(
        name, "broken", f"JupyterLab runs in {environment_of(program)}, the kernel in {sys.prefix}", advice
    )


def notebook_report() -> str:
    """Check, inside a notebook, for faults that would keep the notebook from working.

    Returns
    -------
    str
        If all is well, a fixed sentence; otherwise one line for each fault, with what to
        do.

    Examples
    --------
    >>> print(notebook_report())  # doctest: +SKIP
    Packages, widgets, and the JupyterLab beside this kernel: all well.
    """
    checks = [
        *attempt("packages", check_packages),
        *attempt("front end", check_front_end),
        *attempt("JupyterLab and kernel", check_parent),
    ]
    faults = [f"{check.name}: {check.found} → {check.advice}" for check in checks if check.status == "broken"]
    return "\n".join(faults) or "Packages, widgets, and the JupyterLab beside this kernel: all well."
