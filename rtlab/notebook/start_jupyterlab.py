"""Opens JupyterLab at the first notebook, without any traffic to the outside."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

from rtlab.errors import RtlabError
from rtlab.notebook.readers_copy import Copies, hand_out, reset
from rtlab.resources import checkout

__all__ = ["FIRST", "READERS", "Opening", "environment", "jupyterlab_command", "workspace"]

#: The notebook that JupyterLab opens.
FIRST: Final = "00_start_here.ipynb"

#: The reader's own folder, in the home folder.
READERS: Final = "rtlab-notebooks"

#: Settings laid under the user's own: no news, no update check, no extension downloads.
_CONFIG: Final = Path(__file__).resolve().parent / "jupyter_config"
#: What a kernel runs first, unless the user has a startup file.
_STARTUP: Final = Path(__file__).resolve().with_name("kernel_startup.py")


class Opening(NamedTuple):
    """What JupyterLab opens.

    Attributes
    ----------
    root : pathlib.Path
        Its root folder.
    notebook : str
        The first notebook, relative to it.
    said : list of str
        Lines for the terminal.
    """

    root: Path
    notebook: str
    said: list[str]


def workspace(folder: Path | None, *, edit: bool = False, number: str | None = None) -> Opening:
    """Decide which folder JupyterLab opens, and bring the reader's up to date.

    Parameters
    ----------
    folder : pathlib.Path or None
        The reader's; `READERS` in the home folder if left out.
    edit : bool
        Open the published notebooks themselves: for those who maintain them.
    number : str, optional
        The notebook to hand out afresh.

    Returns
    -------
    Opening

    Raises
    ------
    RtlabError
        When the folder cannot be written, or there is no clone whose notebooks could be edited.
    """
    if edit:
        top = checkout()
        if folder is not None or number is not None:
            raise RtlabError("--edit opens the published notebooks: leave out --dir and --reset")
        if top is None:
            raise RtlabError("--edit needs a clone of rtlab: this installation comes from a wheel")
        return Opening(top, f"notebooks/{FIRST}", [f"the published notebooks: {top / 'notebooks'}"])
    folder = (folder or Path.home() / READERS).expanduser().resolve()
    said = [f"your notebooks: {folder}"]
    notebook = FIRST
    if number is not None:
        notebook, kept = reset(folder, number)
        said.append(f"  {notebook} is clean" + (f"; the old one is now {kept}" if kept else ""))
    return Opening(folder, notebook, said + _report(hand_out(folder)))


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
    """Return the command that runs JupyterLab in this very environment.

    Parameters
    ----------
    root : pathlib.Path
        Its root folder.
    notebook : str
        What it opens, relative to `root`.
    port : int or None
        Exactly this port, or the first free one from 8888.
    browser : bool
        Whether it opens a browser.

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
        command.append("--allow-root")  # containers
    return command


def environment() -> dict[str, str]:
    """Return this process's environment, with rtlab's settings laid under the user's own.

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
