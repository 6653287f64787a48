"""What the commands share: options, printing a table, saving a run with how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["Json", "Save", "Tls", "print_table", "save_run"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tls = Annotated[bool, typer.Option("--tls", help="Over wss and https.")]
Save = Annotated[Path | None, typer.Option(help="Write the run, and how it was made, to this JSON file.")]


def print_table(renderable: object) -> None:
    """Print one of rich's tables to standard output."""
    from rich.console import Console

    Console().print(renderable)


def save_run(path: Path, command: str, programs: dict[str, str], result: dict[str, Any]) -> None:
    """Write a run, and what makes it again.

    Parameters
    ----------
    path : pathlib.Path
        The JSON file.
    command : str
        Without ``--save``.
    programs : dict of str to str
        As for `rtlab.measure.provenance.provenance`.
    result : dict
        Plain JSON values.
    """
    from rtlab.measure.provenance import provenance, write_json

    write_json(path, provenance(f"{command} --save {path}", programs), result)
