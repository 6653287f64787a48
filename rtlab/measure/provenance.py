"""Says how a recorded run was made, so that a reader can judge and repeat it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from rtlab.measure.recording_csv_and_parquet import describe_machine
from rtlab.processes.find_program import find_program

__all__ = ["program_version", "provenance", "write_json"]

_PACKAGES: Final = ("rtlab", "aiohttp", "aiortc", "httpx", "uvloop", "websockets")
_NUMBER: Final = re.compile(r"\d+\.\d+[\w.]*")


def provenance(command: str, programs: dict[str, str] | None = None) -> dict[str, Any]:
    """Describe a run.

    Parameters
    ----------
    command : str
        The command line that repeats the run.
    programs : dict of str to str, optional
        Third-party programs that took part, and the option that prints their version.

    Returns
    -------
    dict
        ``command``, ``date``, ``machine``, ``load`` (load averages of the last 1, 5 and 15
        minutes: above the number of cores, the machine was too busy for its best times) and
        ``versions``.
    """
    versions: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    for name, option in (programs or {}).items():
        found = program_version(name, option)
        if found is not None:
            versions[name] = found
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": versions,
    }


def program_version(name: str, option: str) -> str | None:
    """Return the first number like 1.2.3 in what a program prints; None if there is none.

    Parameters
    ----------
    name : str
        The program.
    option : str
        The option that prints its version, such as ``"-v"``.
    """
    path = find_program(name)
    if path is None:
        return None
    done = subprocess.run([path, option], capture_output=True, text=True, timeout=10, check=False)
    number = _NUMBER.search(done.stdout + done.stderr)
    return number[0] if number else None


def write_json(path: Path, about: dict[str, Any], result: dict[str, Any]) -> None:
    """Write a recorded run as JSON: its provenance first, then its results.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    about : dict
        From `provenance`.
    result : dict
        Plain JSON values.
    """
    text = json.dumps({"about": about, **result}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
