"""Opens JupyterLab at the first notebook, without any traffic to the outside."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from pathlib import Path
from typing import Final, NamedTuple

from rtlab.errors import RtlabError
from rtlab.resources import checkout, notebooks_path

__all__ = ["FIRST", "Copied", "copy_notebooks", "environment", "jupyterlab_command", "workspace"]

#: The notebook that JupyterLab opens.
FIRST: Final = "00_start_here.ipynb"

#: Settings laid under the user's own: no news, no update check, no extension downloads.
_CONFIG: Final = Path(__file__).resolve().parent / "jupyter_config"


class Copied(NamedTuple):
    """What `copy_notebooks` did, as names relative to the folder."""

    new: list[str]
    kept: list[str]


def copy_notebooks(folder: Path) -> Copied:
    """Copy the published notebooks to a folder; a file that differs there is left alone.

    Parameters
    ----------
    folder : pathlib.Path
        Made when it does not exist.

    Returns
    -------
    Copied
        ``new`` files, and ``kept`` ones, which differ from the published.

    Raises
    ------
    RtlabError
        When the folder cannot be written.
    """
    source = notebooks_path()
    done = Copied([], [])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for original in sorted(found for found in source.rglob("*") if found.is_file()):
            name = original.relative_to(source)
            if any(part.startswith((".", "__")) for part in name.parts):
                continue
            target = folder / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(original, target)
                done.new.append(name.as_posix())
            elif not filecmp.cmp(original, target, shallow=False):
                done.kept.append(name.as_posix())
    except OSError as error:
        raise RtlabError(f"cannot copy the notebooks to {folder}: {error.strerror or error}") from error
    return done


def workspace(folder: Path | None) -> tuple[Path, str, Copied]:
    """Decide which folder JupyterLab opens.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where the reader wants the notebooks; None means the clone's own.

    Returns
    -------
    root : pathlib.Path
        JupyterLab's root folder.
    notebook : str
        The first notebook, relative to it.
    copied : Copied
        What was copied there.

    Raises
    ------
    RtlabError
        When no folder was named, and rtlab does not run from a clone.
    """
    if folder is not None:
        return folder.resolve(), FIRST, copy_notebooks(folder)
    top = checkout()
    if top is None:
        raise RtlabError("say where to put the notebooks: rtlab lab --dir FOLDER")
    return top, f"notebooks/{FIRST}", Copied([], [])


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
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}
