"""Finds the files that travel with rtlab: recorded runs, pictures, notebooks.

In a wheel these files are inside the package; in a clone they are in the top folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rtlab.errors import RtlabError

__all__ = ["checkout", "data_path", "notebooks_path"]

_PACKAGE: Final = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """Return the top folder of the clone that this package is part of.

    Returns
    -------
    pathlib.Path or None
        None when rtlab is installed from a wheel.
    """
    top = _PACKAGE.parent
    return top if (top / "pyproject.toml").is_file() and (top / "notebooks").is_dir() else None


def _folder(name: str) -> Path:
    packaged = _PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def data_path(name: str) -> Path:
    """Return the path of a file in ``data/``.

    Parameters
    ----------
    name : str
        The file's path relative to ``data/``, with forward slashes.

    Returns
    -------
    pathlib.Path
        An existing file or folder, inside the package if it has one, else in the clone.

    Raises
    ------
    RtlabError
        When there is no such file; the message lists the files that exist.

    Examples
    --------
    >>> data_path("README.md").name
    'README.md'
    """
    folder = _folder("data").resolve()
    wanted = (folder / name).resolve()
    if not wanted.is_relative_to(folder):
        raise RtlabError(f"expected a path inside data/, got {name!r}")
    if not wanted.exists():
        names = sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*") if found.is_file())
        raise RtlabError(f"data/ has no {name!r}; it has {', '.join(names) or 'nothing'}")
    return wanted


def notebooks_path() -> Path:
    """Return the folder with the notebooks as published.

    Returns
    -------
    pathlib.Path
        The folder inside the package if it has one, else the clone's.

    Raises
    ------
    RtlabError
        When this installation has no notebooks.
    """
    folder = _folder("notebooks")
    if not folder.is_dir():
        raise RtlabError(
            "this installation of rtlab has no notebooks: install it again from a clone or a wheel"
        )
    return folder
