"""``rtlab compare``: the four transports in one table."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from rtlab.measure.comparison import Comparison

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Save = Annotated[Path | None, typer.Option(help="Write the run, and how it was made, to this JSON file.")]


def register(app: typer.Typer) -> None:
    """Add the comparing commands to the command line."""
    app.command()(compare)


def compare(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Feed for each transport.")] = 3.0,
    rate: Annotated[float, typer.Option(min=1, max=20_000, help="Messages a second.")] = 200.0,
    size: Annotated[int, typer.Option(min=0, max=65_536, help="Bytes of payload.")] = 100,
    rtt: Annotated[float | None, typer.Option(min=0, max=1000, help="Milliseconds of distance.")] = None,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Measure WebSocket, event stream, long poll and WebRTC side by side."""
    result = asyncio.run(_compare(seconds, rate, size, rtt))
    if save is not None:
        from rtlab.measure.provenance import provenance, write_json

        options = {"seconds": seconds, "rate": rate, "size": size, "rtt": rtt}
        words = [f"--{name} {value:g}" for name, value in options.items() if value is not None]
        write_json(save, provenance(" ".join(["rtlab compare", *words, f"--save {save}"])), result.to_dict())
    if as_json:
        print(json.dumps(result.to_dict(), indent=1))
    else:
        from rich.console import Console

        Console().print(_table(result))


async def _compare(seconds: float, rate: float, size: int, rtt: float | None) -> Comparison:
    from rich.console import Console
    from rich.progress import Progress

    from rtlab.lab import Lab
    from rtlab.measure.compare import compare as measure

    # On standard error, so that --json can be piped.
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)

        def tell(share: float, text: str) -> None:
            bar.update(task, completed=share, description=text)

        async with Lab(faults=rtt is not None) as lab:
            return await measure(lab, seconds=seconds, rate=rate, size=size, rtt_ms=rtt, progress=tell)


def _table(result: Comparison) -> Table:
    """Return the measured table, a column for each transport: it fits a narrow terminal."""
    from rich.table import Table

    from rtlab.measure.comparison import COLUMNS

    made = Table(title=result.conditions, caption="ms unless the name says bytes")
    made.add_column("")
    for name in result.transports:
        made.add_column(name, justify="right")
    rows: dict[str, dict[str, Any]] = result.to_dict()["transports"]
    for column in COLUMNS:
        cells = [rows[name][column] for name in result.transports]
        digits = 0 if column.endswith("bytes") or column == "messages" else 2
        made.add_row(column, *("–" if cell is None else f"{cell:,.{digits}f}" for cell in cells))
    return made
