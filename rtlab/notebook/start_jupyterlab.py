"""Opens JupyterLab at the first notebook, without any traffic to other machines."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

from rtlab.errors import RtlabError
from rtlab.notebook.readers_copy import Copies, hand_out, reset
from rtlab.resources import checkout

__all__ = ["FIRST", "READERS", "LabStart", "environment", "jupyterlab_command", "workspace"]

#: The notebook that JupyterLab opens.
FIRST: Final = "00_start_here.ipynb"

#: Name of the reader's folder, in the home folder.
READERS: Final = "rtlab-notebooks"

#: Settings that the user's own override: no news, no update check, no extension downloads.
_CONFIG: Final = Path(__file__).resolve().parent / "jupyter_config"
#: Script that a kernel runs first, unless the user has a startup file.
_STARTUP: Final = Path(__file__).resolve().with_name("pythonstartup_script.py")


class LabStart(NamedTuple):
    """The folder and the notebook that JupyterLab opens.

    Attributes
    ----------
    root : pathlib.Path
        JupyterLab's root folder.
    notebook : str
        The notebook to show, relative to `root`.
    said : list of str
        Lines for the terminal.
    """

    root: Path
    notebook: str
    said: list[str]


def workspace(folder: Path | None, *, edit: bool = False, number: str | None = None) -> LabStart:
    """Decide which folder JupyterLab opens, and update the reader's copy of the notebooks.

    Parameters
    ----------
    folder : pathlib.Path or None
        The reader's folder; None is `READERS` in the home folder.
    edit : bool
        Open the published notebooks themselves, to maintain them.
    number : str, optional
        The notebook to replace by a clean one: see `reset`.

    Returns
    -------
    LabStart

    Raises
    ------
    RtlabError
        When the folder cannot be written, or `edit` is asked for without a clone of rtlab.
    """
    if edit:
        top = checkout()
        if folder is not None or number is not None:
            raise RtlabError("--edit opens the published notebooks: leave out --dir and --reset")
        if top is None:
            raise RtlabError("--edit needs a clone of rtlab: this installation comes from a wheel")
        return LabStart(top, f"notebooks/{FIRST}", [f"the published notebooks: {top / 'notebooks'}"])
    folder = (folder or Path.home() / READERS).expanduser().resolve()
    said = [f"your notebooks: {folder}"]
    notebook = FIRST
    if number is not None:
        notebook, kept = reset(folder, number)
        said.append(f"  {notebook} is clean" + (f"; the old one is now {kept}" if kept else ""))
    return LabStart(folder, notebook, said + _report(hand_out(folder)))


def _report(copies: Copies) -> list[str]:
    """Return what was done with the reader's notebooks, a line for each."""
    said: list[str] = []
    if copies.new:
        said.append(f"  {len(copies.new)} new")
    said += [f"  {name} updated" for name in copies.updated]
    said += [f"  {name} is as you changed it" for name in copies.edited]
    for name, moved in copies.outdated.items():
        clean = f"rtlab lab --reset {name.partition('_')[0]} gives the new one, and keeps yours beside it"
        said.append(f"  {name} is as you changed it, in an older version: {clean}")
        said += [f"    it imports {old}, which is now {new}" for old, new in moved.items()]
    return said


def jupyterlab_command(root: Path, notebook: str, *, port: int | None, browser: bool) -> list[str]:
    """Return the command that runs JupyterLab in this Python environment.

    Parameters
    ----------
    root : pathlib.Path
        JupyterLab's root folder.
    notebook : str
        The notebook to show, relative to `root`.
    port : int or None
        The port, which must be free; None is the first free one from 8888.
    browser : bool
        Whether JupyterLab opens a browser.

    Returns
    -------
    list of str
    """
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{notebook}",
    ]
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if not browser:
        command.append("--no-browser")
    if sys.platform != "win32" and os.geteuid() == 0:
        command.append("--allow-root")  # as in containers
    return command


def environment() -> dict[str, str]:
    """Return this process's environment with rtlab's settings, which the user's own override.

    Returns
    -------
    dict
    """
    paths = [str(_CONFIG), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return (
        {"PYTHONSTARTUP": str(_STARTUP)}
        | os.environ
        | {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}
    )
