"""What commands print and save: a table, a run with its provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["print_table", "save_run"]


def print_table(renderable: object) -> None:
    """Print one of rich's tables to standard output."""
    from rich.console import Console

    Console().print(renderable)


def save_run(path: Path, command: str, programs: dict[str, str], result: dict[str, Any]) -> None:
    """Write a run as JSON, with the command that repeats it.

    Parameters
    ----------
    path : pathlib.Path
        The JSON file.
    command : str
        The command line that was run, without ``--save``.
    programs : dict of str to str
        Third-party programs → the option that prints their version, as for
        `rtlab.measure.provenance.provenance`.
    result : dict
        The results, as plain JSON values.
    """
    from rtlab.measure.provenance import provenance, write_json

    write_json(path, provenance(f"{command} --save {path}", programs), result)
