"""The reader's copy of the notebooks: written without outputs, and updated until the reader edits it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final, NamedTuple, cast

from rtlab.errors import RtlabError
from rtlab.notebook.strip_outputs_and_hash_source import cells_of, clean, source_hash, source_of
from rtlab.resources import notebooks_path

__all__ = ["Copies", "hand_out", "moved_imports", "reset"]

#: Name of the file that maps each notebook's name to the hash of the source that was handed out.
MANIFEST: Final = ".rtlab-handed-out.json"

_MOVED: Final = Path(__file__).parent / "moved_modules.json"
_IMPORT: Final = re.compile(
    r"^\s*(?:from|import)\s+(rtlab(?:\.\w+)*)(?:[ \t]+import[ \t]*(\([^)]*\)|[\w, \t]+))?", re.MULTILINE
)


class Copies(NamedTuple):
    """The notebooks that `hand_out` handled, as names relative to the folder.

    Attributes
    ----------
    new, updated : list of str
        Written for the first time, and replaced by a newer version.
    edited : list of str
        Changed by the reader, and kept; there is no newer version.
    outdated : dict of str to dict of str to str
        Changed by the reader, and kept, although there is a newer version: name → moved
        imports, old name → new name.
    """

    new: list[str]
    updated: list[str]
    edited: list[str]
    outdated: dict[str, dict[str, str]]


def hand_out(folder: Path) -> Copies:
    """Bring the reader's folder up to date; a notebook whose sources the reader changed is kept.

    Parameters
    ----------
    folder : pathlib.Path
        The reader's folder; created if it does not exist.

    Returns
    -------
    Copies

    Raises
    ------
    RtlabError
        When the folder is that of the published notebooks, or cannot be written.
    """
    done = Copies([], [], [], {})
    with _Writing(folder):
        handed_out = _read_manifest(folder)
        for name, original in _published().items():
            target, current = folder / name, source_hash(original.read_bytes())
            if not target.exists():
                done.new.append(name)
            elif (theirs := source_hash(target.read_bytes())) == current:
                handed_out[name] = current
                continue  # unchanged: keeps the reader's outputs
            elif theirs == handed_out.get(name):
                done.updated.append(name)
            elif current == handed_out.get(name):
                done.edited.append(name)
                continue
            else:
                done.outdated[name] = moved_imports(target.read_bytes())
                continue
            _write(target, clean(original.read_bytes()))
            handed_out[name] = current
        _write(folder / MANIFEST, json.dumps(handed_out, indent=1).encode())
    return done


def reset(folder: Path, number: str) -> tuple[str, str | None]:
    """Give the reader a clean notebook again, and keep the old one beside it.

    Parameters
    ----------
    folder : pathlib.Path
        The reader's folder.
    number : str
        The notebook, such as ``"3"``, ``"03"`` or ``"03_server_sent_events"``.

    Returns
    -------
    name : str
        Name of the clean notebook.
    kept : str or None
        The new name of the old notebook; None when there was none.

    Raises
    ------
    RtlabError
        When there is no such notebook, or the folder cannot be written.
    """
    published = _published()
    stem = number.strip().removesuffix(".ipynb")
    wanted = [name for name in published if _is(name, stem)]
    if len(wanted) != 1:
        numbers = ", ".join(name.removesuffix(".ipynb") for name in published if name.endswith(".ipynb"))
        raise RtlabError(f"there is no notebook {number!r}: there are {numbers}")
    (name,) = wanted
    target, kept = folder / name, None
    with _Writing(folder):
        original = published[name].read_bytes()
        if target.exists():
            kept = next(
                other
                for count in range(1, 10_000)
                if not (folder / (other := f"{target.stem}.before-reset-{count}.ipynb")).exists()
            )
            target.rename(folder / kept)
        _write(target, clean(original))
        handed_out = _read_manifest(folder) | {name: source_hash(original)}
        _write(folder / MANIFEST, json.dumps(handed_out, indent=1).encode())
    return name, kept


def moved_imports(raw: bytes) -> dict[str, str]:
    """Return the modules that a notebook imports by a former name.

    Parameters
    ----------
    raw : bytes
        Content of the notebook's file.

    Returns
    -------
    dict
        Former dotted name → present one.
    """
    moved = cast("dict[str, str]", json.loads(_MOVED.read_text("utf-8")))
    code = [source_of(cell) for cell in cells_of(raw) or () if cell.get("cell_type") == "code"]
    names: list[str] = []
    for module, imported in (
        found for text in code for found in cast("list[list[str]]", _IMPORT.findall(text))
    ):
        names += [module, *(f"{module}.{name}" for name in re.findall(r"\w+", imported))]
    return {name: moved[name] for name in names if name in moved}


class _Writing:
    """Guards writing to a folder: refuses the published one, and turns `OSError` into `RtlabError`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        if self._folder.resolve().is_relative_to(notebooks_path().resolve()):
            raise RtlabError(
                f"{self._folder} holds the published notebooks: use another --dir, or open them with --edit"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.__exit__(None, error)

    def __exit__(self, kind: object, error: BaseException | None, *traceback: object) -> None:
        if isinstance(error, OSError):
            cause = error.strerror or error
            raise RtlabError(f"cannot copy the notebooks to {self._folder}: {cause}; try --dir") from error


def _published() -> dict[str, Path]:
    top = notebooks_path()
    files = {found.relative_to(top): found for found in sorted(top.rglob("*")) if found.is_file()}
    hidden = (".", "__")
    return {
        name.as_posix(): found
        for name, found in files.items()
        if not any(part.startswith(hidden) for part in name.parts)
    }


def _is(name: str, stem: str) -> bool:
    number, _, _ = name.partition("_")
    return name.removesuffix(".ipynb") == stem or (stem.isdecimal() and number == stem.zfill(2))


def _read_manifest(folder: Path) -> dict[str, str]:
    try:
        found: object = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # notebooks that differ then count as edited
    return cast("dict[str, str]", found) if isinstance(found, dict) else {}


def _write(target: Path, data: bytes) -> None:
    """Replace a file as a whole, so that an interrupt leaves the old one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(data)
    os.replace(part, target)
