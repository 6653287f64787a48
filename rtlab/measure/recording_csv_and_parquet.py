"""Recorded runs as files: one file holds the samples and everything needed to read them.

A ``.csv`` (or ``.csv.gz``) starts with one comment line of JSON; a ``.parquet`` keeps the
same JSON in its schema's metadata, and needs pyarrow.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import gzip
import importlib
import json
import math
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from rtlab.errors import RtlabError
from rtlab.measure.preallocated_sample_log import ROW, Mark, Series

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Recording", "RecordingError", "describe_machine", "read_recording", "write_recording"]

_FORMAT: Final = 1
_HEADER: Final = b"# rtlab-recording "
_FIELDS: Final = ("received_s", "ts_s", "sent_s", "size_bytes", "series")
_PACKAGES: Final = ("rtlab", "numpy", "websockets", "aiohttp", "httpx", "aiortc", "ipykernel")


class RecordingError(RtlabError):
    """A file that is not a recorded run, or cannot be written as one."""


class Recording(msgspec.Struct, kw_only=True):
    """A recorded run.

    Parameters
    ----------
    rows : array of ROW
        The samples, oldest first.
    series : list of Series
        The series that the samples belong to, by index.
    marks : list of Mark
        The events.
    late : array of shape (n, 2)
        Start and end of each late stretch of the event loop, in seconds.
    late_interval : float
        Seconds between two ticks of the `LoopLag` that noticed them.
    dropped : int
        How many samples were forgotten because the recorder was full.
    parameters : dict
        Anything that describes the run, as plain JSON values.
    """

    rows: NDArray[Any]
    series: list[Series]
    marks: list[Mark]
    late: NDArray[np.float64]
    late_interval: float
    dropped: int
    parameters: dict[str, Any]


class _Meta(msgspec.Struct, kw_only=True):
    format: int
    saved: str
    machine: dict[str, Any]
    versions: dict[str, str]
    parameters: dict[str, Any]
    series: list[Series]
    marks: list[Mark]
    late: list[tuple[float, float]]
    late_interval: float
    dropped: int
    samples: int | None = None  # absent from files of older versions


def describe_machine() -> dict[str, Any]:
    """Describe this machine: system, release, architecture, cores, Python version."""
    import os

    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def write_recording(recording: Recording, path: str | Path, *, start: float = 0.0) -> Path:
    """Write a run to a file.

    Parameters
    ----------
    recording : Recording
        The run.
    path : str or Path
        Ends in ``.csv``, ``.csv.gz`` or ``.parquet``. In CSV times have a
        resolution of 0.1 µs.
    start : float
        Time on the run's clock, in seconds, that becomes 0 in the file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RecordingError
        For another suffix, for Parquet without pyarrow, for parameters that are not JSON, or for a mark
        whose time is not finite.
    """
    path = Path(path)
    kind = _kind(path)
    meta = _Meta(
        format=_FORMAT,
        saved=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        versions=_versions(),
        parameters=recording.parameters,
        series=recording.series,
        marks=[replace(m, time=round(m.time - start, 7)) for m in recording.marks],
        late=[(round(a - start, 7), round(b - start, 7)) for a, b in recording.late.tolist()],
        late_interval=recording.late_interval,
        dropped=recording.dropped,
        samples=len(recording.rows),
    )
    if not all(math.isfinite(mark.time) for mark in meta.marks):
        raise RecordingError("the run has a mark whose time is not finite")
    try:
        header = msgspec.json.encode(meta)
        json.dumps(msgspec.to_builtins(meta), allow_nan=False)  # msgspec writes NaN and inf as null
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordingError(f"the run's parameters are not plain JSON values: {error}") from error
    frame = _frame(recording.rows, start)
    if kind == "parquet":
        pa, pq = _pyarrow()
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table.replace_schema_metadata({b"rtlab": header}), path)
    else:
        body = frame.to_csv(index=False, float_format="%.7f", lineterminator="\n").encode()
        data = b"".join((_HEADER, header, b"\n", body))
        path.write_bytes(gzip.compress(data, mtime=0) if kind == "csv.gz" else data)
    return path


def read_recording(path: str | Path) -> Recording:
    """Read a saved run.

    Parameters
    ----------
    path : str or Path
        A file that :func:`write_recording` wrote.

    Returns
    -------
    Recording
        Times start at 0. ``parameters`` also holds the file's
        ``"machine"``, ``"versions"`` and ``"saved"``, unless the run had its own.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    RecordingError
        When it is not a recorded run, or is damaged.
    """
    import pandas as pd

    path = Path(path)
    kind = _kind(path)
    try:
        if kind == "parquet":
            _pa, pq = _pyarrow()
            table = pq.read_table(path)
            header = (table.schema.metadata or {}).get(b"rtlab", b"")
            frame = table.to_pandas()
        else:
            data = path.read_bytes()
            if kind == "csv.gz":
                data = gzip.decompress(data)
            first, _, body = data.partition(b"\n")
            header = first.removeprefix(_HEADER) if first.startswith(_HEADER) else b""
            if header and body and not body.endswith(b"\n"):
                raise RecordingError(f"{path.name} is damaged: its last line has no end")
            from io import BytesIO

            frame = pd.read_csv(BytesIO(body)) if header else pd.DataFrame()
        if not header:
            raise RecordingError(f"{path.name} has no rtlab header: was it written by Recorder.save()?")
        meta = msgspec.json.decode(header, type=_Meta)
        rows = _rows(frame, len(meta.series))
        if meta.samples not in (None, len(rows)):
            raise RecordingError(
                f"{path.name} is damaged: expected {meta.samples:,} samples, got {len(rows):,}"
            )
    except (FileNotFoundError, RecordingError, PermissionError):
        raise
    except Exception as error:
        raise RecordingError(f"{path.name} is not a readable recorded run: {error}") from error
    if meta.format != _FORMAT:
        raise RecordingError(
            f"{path.name} has format {meta.format}, this rtlab reads {_FORMAT}: upgrade rtlab"
        )
    if [s.index for s in meta.series] != list(range(len(meta.series))):
        raise RecordingError(f"{path.name} is damaged: its series are not numbered from 0")
    about = {"machine": meta.machine, "versions": meta.versions, "saved": meta.saved}
    return Recording(
        rows=rows,
        series=meta.series,
        marks=meta.marks,
        late=np.array(meta.late, dtype=float).reshape(-1, 2),
        late_interval=meta.late_interval,
        dropped=meta.dropped,
        parameters={**about, **meta.parameters},
    )


def _kind(path: Path) -> str:
    for kind in ("csv", "csv.gz", "parquet"):
        if path.name.endswith(f".{kind}"):
            return kind
    raise RecordingError(f"a recorded run ends in .csv, .csv.gz or .parquet, got {path.name!r}")


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise RecordingError("Parquet needs pyarrow: `pip install pyarrow`, or use .csv.gz") from error


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _frame(rows: NDArray[Any], start: float) -> pd.DataFrame:
    import pandas as pd

    stamps = {f"{name}_s": rows[name] - start for name in ("received", "ts", "sent")}
    return pd.DataFrame({**stamps, "size_bytes": rows["size"], "series": rows["series"]})


def _rows(frame: pd.DataFrame, series: int) -> NDArray[Any]:
    missing = [name for name in _FIELDS if name not in frame.columns]
    if missing:
        raise RecordingError(f"the file is damaged: no column {', '.join(missing)}")
    rows = np.zeros(len(frame), ROW)
    for name in _FIELDS:
        field, values = name.removesuffix("_s").removesuffix("_bytes"), frame[name].to_numpy()
        if len(values) and not _fits(values, ROW[field]):
            raise RecordingError(f"the file is damaged: a value of {name} is no whole number in its range")
        rows[field] = values
    if len(rows) and int(rows["series"].max()) >= series:
        raise RecordingError("the file is damaged: a sample belongs to no series")
    return rows


def _fits(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether values are whole numbers in the range of an unsigned field, which numpy does not check."""
    if dtype.kind != "u":
        return True
    return values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= np.iinfo(dtype).max
