"""Checks whether a machine has what rtlab needs, and says what to do about each fault."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rtlab.notebook.environment_check import (
    EnvironmentCheck,
    attempt,
    check_front_end,
    check_packages,
    environment_of,
)
from rtlab.processes.find_program import find_program

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["broken", "examine", "table"]

_ROUND_TRIPS: Final = 100
#: Seconds that all round trips together may take.
_PATIENCE: Final = 10.0

#: Optional programs: (program, what uses it, its Debian package).
_OPTIONAL: Final = (
    ("chromium", "browser tests, and `rtlab bench observer`", "chromium"),
    ("nginx", "`rtlab proxies`, and notebook 01", "nginx-light"),
    ("haproxy", "`rtlab proxies`, and notebook 01", "haproxy"),
    ("redis-server", '`Lab(nodes=3, broker="redis")`', "redis-server"),
    ("rabbitmq-server", '`Lab(nodes=3, broker="rabbitmq")`', "--no-install-recommends rabbitmq-server"),
)


def broken(checks: Iterable[EnvironmentCheck]) -> bool:
    """Return whether any check found something broken.

    Parameters
    ----------
    checks : iterable of EnvironmentCheck
        The results of `examine`.

    Returns
    -------
    bool
    """
    return any(check.status == "broken" for check in checks)


def _python() -> EnvironmentCheck:
    return EnvironmentCheck("Python", "ok", f"{sys.version.split()[0]} in {sys.prefix}")


def _kernelspec() -> EnvironmentCheck:
    from jupyter_client.kernelspec import KernelSpecManager

    spec: Any = KernelSpecManager().get_kernel_spec("python3")
    program = str(spec.argv[0])
    # A program without a path is looked up in the environment of the JupyterLab that starts it.
    if os.path.basename(program) == program or environment_of(program) == Path(sys.prefix):
        return EnvironmentCheck("kernel", "ok", "python3 runs in this environment")
    advice = "remove that kernel: jupyter kernelspec remove python3"
    return EnvironmentCheck("kernel", "broken", f"python3 runs {program}, not {sys.prefix}", advice)


def _jupyter_command() -> EnvironmentCheck:
    program = shutil.which("jupyter")
    if program is None or environment_of(program) == Path(sys.prefix):
        return EnvironmentCheck("JupyterLab", "ok", "this environment's")
    advice = "start it with `rtlab lab`: that `jupyter` cannot show the widgets of this environment"
    return EnvironmentCheck("JupyterLab", "note", f"`jupyter` on the PATH is {program}", advice)


def _subshells() -> EnvironmentCheck:
    from jupyterlab_server.settings_utils import get_settings

    commands = importlib.import_module("jupyterlab.commands")  # untyped
    application = commands.get_app_dir()
    answer: Any = get_settings(
        os.path.join(application, "settings"),
        os.path.join(application, "schemas"),
        commands.get_user_settings_dir(),
        schema_name="@jupyterlab/apputils-extension:kernels-settings",
    )[0]
    default: str = (
        answer["schema"]["properties"].get("commsOverSubshells", {}).get("default", "not known here")
    )
    value: str = answer["settings"].get("commsOverSubshells", default)
    return EnvironmentCheck("comms over subshells", "ok", f"{value} (rtlab works with either)")


async def _loopback() -> list[EnvironmentCheck]:
    """Start a lab, and time echoes over loopback with the bare ``websockets`` library."""
    from websockets.asyncio.client import connect

    from rtlab.lab.lab import Lab

    began = time.perf_counter()
    async with Lab() as lab:
        start = EnvironmentCheck("lab", "ok", f"started in {time.perf_counter() - began:.2f} s")
        trips: list[float] = []
        async with (
            asyncio.timeout(_PATIENCE),
            connect(lab.ws_url, proxy=None, compression=None) as connection,
        ):
            await connection.recv()  # welcome
            for _ in range(_ROUND_TRIPS):
                sent = time.perf_counter()
                await connection.send('{"type":"echo","payload":null}')
                await connection.recv()
                trips.append(time.perf_counter() - sent)
    return [
        start,
        EnvironmentCheck("loopback round trip", "ok", f"median {statistics.median(trips) * 1e6:.0f} µs"),
    ]


def _optional() -> list[EnvironmentCheck]:
    checks: list[EnvironmentCheck] = []
    for program, purpose, package in _OPTIONAL:
        path = find_program(program)
        if path is not None:
            checks.append(EnvironmentCheck(program, "ok", path))
        else:
            advice = f"for {purpose}: sudo apt install {package}"
            checks.append(EnvironmentCheck(program, "note", "optional, not installed", advice))
    return checks


async def examine() -> list[EnvironmentCheck]:
    """Run every check.

    Returns
    -------
    list of EnvironmentCheck
    """
    checks = [
        *attempt("Python", _python),
        *attempt("packages", check_packages),
        *attempt("front end", check_front_end),
        *attempt("JupyterLab", _jupyter_command),
        *attempt("kernel", _kernelspec),
        *attempt("comms over subshells", _subshells),
    ]
    try:
        checks += await _loopback()
    except Exception as error:
        advice = "the last lines say why; if not, see whether something blocks 127.0.0.1"
        checks.append(EnvironmentCheck("lab", "broken", str(error) or type(error).__name__, advice))
    return checks + _optional()


def table(checks: Iterable[EnvironmentCheck]) -> Table:
    """Return the results as a table 80 columns wide, with the advice below each finding.

    Parameters
    ----------
    checks : iterable of EnvironmentCheck
        The results of `examine`.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table
    from rich.text import Text

    style = {"ok": "green", "note": "yellow", "broken": "bold red"}
    made = Table.grid("status", "what", "found", padding=(0, 2, 0, 0))
    for column in made.columns[:2]:
        column.no_wrap = True
    made.columns[2].overflow = "fold"
    for check in checks:
        lines = [check.found, *([f"→ {check.advice}"] if check.advice else [])]
        made.add_row(Text(check.status, style[check.status]), Text(check.name), Text("\n".join(lines)))
    return made
