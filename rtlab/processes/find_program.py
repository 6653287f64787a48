"""Finds programs on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["find_program"]


def find_program(name: str) -> str | None:
    """Find a program in this Python environment, on the PATH, or where Debian keeps daemons.

    Parameters
    ----------
    name : str
        A name, or a path.

    Returns
    -------
    str or None
        Its full path.
    """
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(
        [here, os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    )
    return shutil.which(name, path=path)
