"""``rtlab compare`` and ``rtlab proxies``: the four transports in one table each."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from rtlab.experiments.comparison import Comparison

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tls = Annotated[bool, typer.Option("--tls", help="Over wss and https.")]
Save = Annotated[Path | None, typer.Option(help="Write the run, and how it was made, to this JSON file.")]


def register(app: typer.Typer) -> None:
    """Add the comparing commands to the command line."""
    app.command()(compare)
    app.command()(proxies)


def _save(path: Path, command: str, programs: dict[str, str], result: dict[str, Any]) -> None:
    from rtlab.measure.provenance import provenance, write_json

    write_json(path, provenance(f"{command} --save {path}", programs), result)


def _print(renderable: object) -> None:
    from rich.console import Console

    Console().print(renderable)


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
    result = asyncio.run(_compare(seconds, rate, size, rtt, tls=tls))
    if save is not None:
        options = {"seconds": seconds, "rate": rate, "size": size, "rtt": rtt}
        words = [f"--{name} {value:g}" for name, value in options.items() if value is not None]
        words += ["--tls"] if tls else []
        _save(save, " ".join(["rtlab compare", *words]), {}, result.to_dict())
    if as_json:
        print(json.dumps(result.to_dict(), indent=1))
    else:
        _print(_table(result))


async def _compare(seconds: float, rate: float, size: int, rtt: float | None, *, tls: bool) -> Comparison:
    from rich.console import Console
    from rich.progress import Progress

    from rtlab.experiments.transport_comparison import compare as measure
    from rtlab.lab.lab import Lab

    # On standard error, so that --json can be piped.
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)

        def tell(share: float, text: str) -> None:
            bar.update(task, completed=share, description=text)

        async with Lab(faults=rtt is not None, tls=tls) as lab:
            return await measure(lab, seconds=seconds, rate=rate, size=size, rtt_ms=rtt, progress=tell)


def _table(result: Comparison) -> Table:
    """Return the measured table, a column for each transport: it fits a narrow terminal."""
    from rich.table import Table

    from rtlab.experiments.comparison import COLUMNS

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


def proxies(
    *,
    timeout: Annotated[float, typer.Option(min=1, max=3600, help="Idle timeout to configure.")] = 2.0,
    tls: Tls = False,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Measure what nginx and HAProxy do to each transport, as they come and set right."""
    frame = asyncio.run(_proxies(timeout, tls=tls))
    probes = json.loads(frame.to_json(orient="records"))
    if save is not None:
        _save(
            save,
            f"rtlab proxies --timeout {timeout:g}{' --tls' if tls else ''}",
            {"nginx": "-v", "haproxy": "-v"},
            {"probes": probes},
        )
    if as_json:
        print(json.dumps(probes, indent=1))
    else:
        _print(_matrix(probes))


def _matrix(probes: list[dict[str, Any]]) -> Table:
    """Return the outcomes, a row for each proxy and setting."""
    from rich.table import Table

    made = Table("proxy", "setting")
    rows: dict[tuple[str, str], list[str]] = {}
    for probe in probes:
        rows.setdefault((probe["proxy"], probe["setting"]), []).append(probe["words"])
    for name in dict.fromkeys(probe["transport"] for probe in probes):
        made.add_column(name)
    for key, words in rows.items():
        made.add_row(*key, *words)
    return made


async def _proxies(timeout: float, *, tls: bool) -> Any:
    from rtlab.experiments.proxy_matrix import proxy_matrix
    from rtlab.lab.lab import Lab

    async with Lab(heartbeat=10 * timeout) as lab:
        return await proxy_matrix(lab, timeout=timeout, tls=tls)
