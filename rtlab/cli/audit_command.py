"""``rtlab audit``: the security holes of a server on this machine, as a table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from rtlab.cli.common_flags import Json
from rtlab.cli.header_option import headers_of
from rtlab.cli.print_and_save import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from rtlab.experiments.audit.check_and_finding_types import Finding

__all__ = ["audit"]

_STYLES = {"hole": "bold red", "holds": "green", "not seen": "dim"}


def audit(
    url: Annotated[str, typer.Argument(help="ws, wss, http or https, of a server on this machine.")],
    *,
    header: Annotated[
        list[str] | None, typer.Option(help="'Name: value' of each handshake; repeatable.")
    ] = None,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="It is another machine's, and its owner agrees.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for each answer.")] = 5.0,
    slow: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds half a handshake may stand.")] = 15.0,
    cafile: Annotated[str | None, typer.Option(help="Trust the authorities in this PEM file.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Look without trust.")] = False,
    as_json: Json = False,
) -> None:
    """Try a WebSocket server as a stranger would, and say what to do; exit code 1 when there is a hole."""
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from rtlab.experiments.audit.check_and_finding_types import holes
    from rtlab.experiments.audit.whole_audit import audit as run
    from rtlab.experiments.endpoint.timed_connect_steps import insecure_tls, trusting_tls

    headers = headers_of(header)
    tls = insecure_tls() if insecure else trusting_tls(cafile)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=1.0)
        found = asyncio.run(
            run(
                url,
                elsewhere=elsewhere,
                headers=headers,
                ssl=tls,
                timeout=timeout,
                slow=slow,
                progress=lambda share, text: bar.update(task, completed=share, description=text),
            )
        )
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print_table(table(found))
    if holes(found):
        raise typer.Exit(1)


def table(findings: Sequence[Finding]) -> Table:
    """Return findings as a table: holes first, each with the advice to close it."""
    from rich.table import Table
    from rich.text import Text

    made = Table("check", "result", "evidence, and what to do")
    made.columns[2].overflow = "fold"
    for finding in sorted(findings, key=_rank):
        hole = finding.result == "hole"
        result = f"{finding.severity} {finding.result}" if hole else finding.result
        said = f"{finding.evidence}\n→ {finding.advice} ({finding.rule})" if hole else finding.evidence
        made.add_row(Text(finding.check), Text(result, _STYLES[finding.result]), Text(said))
    return made


def _rank(finding: Finding) -> tuple[int, int]:
    return list(_STYLES).index(finding.result), ("high", "medium", "low").index(finding.severity)
