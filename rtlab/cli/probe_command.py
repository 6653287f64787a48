"""``rtlab probe``: what any real-time endpoint does, as a table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtlab.cli.common_flags import Json
from rtlab.cli.header_option import headers_of
from rtlab.cli.print_and_save import print_table

if TYPE_CHECKING:
    from rich.table import Table

    from rtlab.experiments.endpoint.probe_report import Report

__all__ = ["probe"]


def probe(
    url: Annotated[str, typer.Argument(help="ws, wss, http or https.")],
    *,
    kind: Annotated[
        Literal["websocket", "sse", "longpoll"] | None,
        typer.Option(help="Found out if left out."),
    ] = None,
    watch: Annotated[float, typer.Option(min=0, max=3600, help="Seconds to watch it idle.")] = 20.0,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Round trips to measure.")] = 50,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for each answer.")] = 5.0,
    cafile: Annotated[str | None, typer.Option(help="Trust the authorities in this PEM file.")] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="'Name: value' of every request: credentials, a subprotocol; repeatable."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Look without trust.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a WebSocket, an event stream or a long poll does: yours, or anybody's."""
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from rtlab.experiments.endpoint.timed_connect_steps import insecure_tls, trusting_tls
    from rtlab.experiments.probe_any_endpoint import probe as run

    headers = headers_of(header)
    tls = insecure_tls() if insecure else trusting_tls(cafile)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=1.0)
        found = asyncio.run(
            run(
                url,
                kind=kind,
                watch=watch,
                count=count,
                ssl=tls,
                timeout=timeout,
                headers=headers,
                progress=lambda share, text: bar.update(task, completed=share, description=text),
            )
        )
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print_table(table(found))


def table(report: Report) -> Table:
    """Return a report as a table 80 columns wide."""
    from rich.table import Table
    from rich.text import Text

    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f} ms"

    rows = [
        ("endpoint", f"{report.url} ({report.address})"),
        ("kind", f"{report.kind}, HTTP {report.status}"),
        ("DNS", ms(report.dns_ms)),
        ("TCP", ms(report.tcp_ms)),
        ("TLS", f"{ms(report.tls_ms)} {report.tls}".strip()),
        ("upgrade" if report.kind == "websocket" else "answer", ms(report.answer_ms)),
        ("subprotocol", report.subprotocol or "–"),
        ("extensions", report.extensions or "–"),
        (
            "round trip",
            f"p50 {ms(report.p50_ms)}, p99 {ms(report.p99_ms)} ({report.round_trips} {report.round_trip_of})",
        ),
        ("heartbeat", report.heartbeat),
        ("idle", report.idle),
        ("resumes", report.resumes),
        ("nonsense", report.nonsense),
        ("headers", "\n".join(f"{name}: {value}" for name, value in report.headers.items())),
    ]
    if report.incomplete:
        rows.append(("incomplete", report.incomplete))
    made = Table.grid("what", "seen", padding=(0, 2, 0, 0))
    made.columns[1].overflow = "fold"
    for name, value in rows:
        made.add_row(Text(name, "bold"), Text(value))
    return made
