"""``rtlab compare``: the four transports side by side, in one table."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rtlab.cli.common_flags import Json, Save, Tls
from rtlab.cli.print_and_save import check_writable, print_table, save_run

if TYPE_CHECKING:
    from rich.table import Table

    from rtlab.experiments.transports.comparison_result import Comparison

__all__ = ["compare"]

_CAPTION: Final = (
    "push: from the intended time to the arrival; transit: from the write to the arrival. "
    "Bytes are those on the wire, headers of IP, TCP and UDP included."
)


def compare(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Feed for each transport.")] = 3.0,
    rate: Annotated[float, typer.Option(min=1, max=20_000, help="Messages a second.")] = 200.0,
    size: Annotated[int, typer.Option(min=0, max=65_536, help="Bytes of payload.")] = 100,
    rtt: Annotated[float | None, typer.Option(min=0, max=1000, help="Milliseconds of distance.")] = None,
    tls: Tls = False,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Measure WebSocket, event stream, long poll and WebRTC side by side."""
    check_writable(save)
    result = asyncio.run(_compare(seconds, rate, size, rtt, tls=tls))
    try:
        if save is not None:
            options = {"seconds": seconds, "rate": rate, "size": size, "rtt": rtt}
            words = [f"--{name} {value:g}" for name, value in options.items() if value is not None]
            words += ["--tls"] if tls else []
            save_run(save, " ".join(["rtlab compare", *words]), {}, result.to_dict())
    finally:  # neither a full disk nor a closed pipe loses both
        if as_json:
            print(json.dumps(result.to_dict(), indent=1))
        else:
            print_table(_table(result))


async def _compare(seconds: float, rate: float, size: int, rtt: float | None, *, tls: bool) -> Comparison:
    from rich.console import Console
    from rich.progress import Progress

    from rtlab.experiments.transports.transport_comparison import compare as measure
    from rtlab.lab.lab import Lab

    # On standard error, so that --json can be piped.
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)

        def tell(share: float, text: str) -> None:
            bar.update(task, completed=share, description=text)

        async with Lab(faults=rtt is not None, tls=tls) as lab:
            return await measure(lab, seconds=seconds, rate=rate, size=size, rtt_ms=rtt, progress=tell)


def _table(result: Comparison) -> Table:
    """Return the results with one column per transport, so that they fit a narrow terminal."""
    from rich.table import Table

    made = Table(title=result.conditions, caption=_CAPTION, title_justify="left", caption_justify="left")
    made.add_column("", justify="left")
    for name in result.transports:
        made.add_column(name, justify="right")
    for row in result.table.rows:
        made.add_row(*(cell.strip("‹›") for cell in row))
    return made
