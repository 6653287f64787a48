"""What commands print and save: a table, a run with its provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtlab.errors import RtlabError

__all__ = ["check_writable", "print_table", "save_run"]


def print_table(renderable: object) -> None:
    """Print one of rich's tables to standard output."""
    from rich.console import Console

    Console().print(renderable)


def check_writable(path: Path | None) -> None:
    """Check, before a measurement, that its result can be written; leave no file behind that was not there.

    Parameters
    ----------
    path : pathlib.Path or None
        The file of ``--save``, whose content is kept; None without the option.

    Raises
    ------
    RtlabError
        When the file cannot be written.
    """
    if path is None:
        return
    target = path.resolve()  # of a link to a file that is not there yet, only that file is removed again
    known = target.exists()
    try:
        target.open("ab").close()
        if not known:
            target.unlink()
    except OSError as error:
        raise _not_written(path, error) from None


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

    Raises
    ------
    RtlabError
        When the file cannot be written.
    """
    from rtlab.measure.provenance import provenance, write_json

    try:
        write_json(path, provenance(f"{command} --save {path}", programs), result)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> RtlabError:
    return RtlabError(f"cannot write {path}: {error.strerror}: name another file with --save")
