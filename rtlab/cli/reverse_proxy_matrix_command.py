"""``rtlab proxies``: what nginx and HAProxy do to the four transports, in one table."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtlab.cli.common_flags import Json, Save, Tls
from rtlab.cli.print_and_save import check_writable, print_table, save_run

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["proxies"]


def proxies(
    *,
    timeout: Annotated[float, typer.Option(min=1, max=3600, help="Idle timeout to configure.")] = 2.0,
    tls: Tls = False,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Measure what nginx and HAProxy do to each transport, as they come and set right."""
    check_writable(save)
    frame = asyncio.run(_proxies(timeout, tls=tls))
    probes = json.loads(frame.to_json(orient="records"))
    try:
        if save is not None:
            save_run(
                save,
                f"rtlab proxies --timeout {timeout:g}{' --tls' if tls else ''}",
                {"nginx": "-v", "haproxy": "-v"},
                {"probes": probes},
            )
    finally:  # neither a full disk nor a closed pipe loses both
        if as_json:
            print(json.dumps(probes, indent=1))
        else:
            print_table(_matrix(probes))


def _matrix(probes: list[dict[str, Any]]) -> Table:
    """Return the outcomes: one row for each proxy and setting, one column for each transport."""
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
    from rtlab.experiments.transports.proxy_matrix import proxy_matrix
    from rtlab.lab.lab import Lab

    async with Lab(heartbeat=10 * timeout) as lab:
        return await proxy_matrix(lab, timeout=timeout, tls=tls)
