"""Checks a machine for what rtlab needs, and says what to do about each fault."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from rtlab.processes.host import find_program

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Check", "broken", "examine", "notebook_report", "table"]

_REINSTALL: Final = "install again: pip install -e . (in a clone), with the environment's own pip"
_SHOWN: Final = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget", "websockets", "aiohttp")
_ROUND_TRIPS: Final = 100
#: Seconds for all of them.
_PATIENCE: Final = 10.0

#: Program, what it is for, Debian's package.
_OPTIONAL: Final = (
    ("chromium", "browser tests, the observer benchmark", "chromium"),
    ("redis-server", "rooms over Redis", "redis-server"),
    ("rabbitmq-server", "rooms over RabbitMQ", "rabbitmq-server"),
    ("nats-server", "rooms over NATS", "nats-server"),
    ("nginx", "a reverse proxy in the path", "nginx-light"),
    ("haproxy", "a load balancer in the path", "haproxy"),
)


class Check(NamedTuple):
    """One line of the report.

    Parameters
    ----------
    name : str
        What was looked at.
    status : str
        ``"ok"``, ``"note"`` (works, but see the advice) or ``"broken"``.
    found : str
        What was found.
    advice : str
        What to do next; empty when all is well.
    """

    name: str
    status: Literal["ok", "note", "broken"]
    found: str
    advice: str = ""


def broken(checks: Iterable[Check]) -> bool:
    """Return whether something that rtlab needs is broken.

    Parameters
    ----------
    checks : iterable of Check
        The report.

    Returns
    -------
    bool
    """
    return any(check.status == "broken" for check in checks)


def _python() -> Check:
    return Check("Python", "ok", f"{sys.version.split()[0]} in {sys.prefix}")


def _packages() -> list[Check]:
    """Check every requirement that rtlab's own metadata states."""
    from packaging.requirements import Requirement

    distribution = importlib.metadata.distribution("rtlab")
    wrong: list[str] = []
    for requirement in map(Requirement, distribution.requires or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, expected {requirement.specifier}")
    if wrong:
        return [Check("packages", "broken", "; ".join(wrong), _REINSTALL)]
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SHOWN)
    return [Check("rtlab", "ok", distribution.version), Check("packages", "ok", found)]


def _front_end() -> list[Check]:
    """Check the browser's half of the widgets, where JupyterLab looks for it."""
    from jupyter_core.paths import jupyter_path

    checks: list[Check] = []
    for name, package in (
        ("@jupyter-widgets/jupyterlab-manager", "jupyterlab_widgets"),
        ("anywidget", "anywidget"),
    ):
        for folder in jupyter_path("labextensions"):
            description = Path(folder) / name / "package.json"
            if description.is_file():
                version = json.loads(description.read_text(encoding="utf-8")).get("version", "?")
                checks.append(Check(f"front end {name}", "ok", str(version)))
                break
        else:
            advice = f"install again: pip install --force-reinstall {package}"
            checks.append(Check(f"front end {name}", "broken", "JupyterLab will not find it", advice))
    return checks


def _prefix_of(executable: str) -> Path:
    """The environment that a Python or a script of it belongs to (its links not followed)."""
    return Path(executable).absolute().parent.parent


def _parent() -> Check:
    """Check that the JupyterLab that started this kernel can show the widgets of its environment."""
    import psutil

    name = "JupyterLab and kernel"
    parent = psutil.Process().parent()
    words = parent.cmdline() if parent is not None else []
    if parent is None or not any("jupyter" in word or "pytest" in word for word in words):
        return Check(name, "ok", "not started by JupyterLab")
    program = shutil.which(words[0], path=parent.environ().get("PATH")) or words[0]
    if _prefix_of(program) == Path(sys.prefix):
        return Check(name, "ok", "share one environment")
    advice = f"close it, and start {Path(sys.prefix) / 'bin' / 'rtlab'} lab"
    return Check(
        name, "broken", f"JupyterLab runs in {_prefix_of(program)}, the kernel in {sys.prefix}", advice
    )


def _kernelspec() -> Check:
    from jupyter_client.kernelspec import KernelSpecManager

    spec: Any = KernelSpecManager().get_kernel_spec("python3")
    program = str(spec.argv[0])
    # A bare name means the environment of the JupyterLab that starts it.
    if os.path.basename(program) == program or _prefix_of(program) == Path(sys.prefix):
        return Check("kernel", "ok", "python3 runs in this environment")
    advice = "remove that kernel: jupyter kernelspec remove python3"
    return Check("kernel", "broken", f"python3 runs {program}, not {sys.prefix}", advice)


def _jupyter_command() -> Check:
    program = shutil.which("jupyter")
    if program is None or _prefix_of(program) == Path(sys.prefix):
        return Check("JupyterLab", "ok", "this environment's")
    advice = "start it with `rtlab lab`: that `jupyter` cannot show the widgets of this environment"
    return Check("JupyterLab", "note", f"`jupyter` on the PATH is {program}", advice)


def _subshells() -> Check:
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
    return Check("comms over subshells", "ok", f"{value} (rtlab works with either)")


async def _loopback() -> list[Check]:
    """Start a lab, and send messages there and back with the bare library."""
    from websockets.asyncio.client import connect

    from rtlab.lab.lab import Lab

    began = time.perf_counter()
    async with Lab() as lab:
        start = Check("lab", "ok", f"started in {time.perf_counter() - began:.2f} s")
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
    return [start, Check("loopback round trip", "ok", f"median {statistics.median(trips) * 1e6:.0f} µs")]


def _optional() -> list[Check]:
    checks: list[Check] = []
    for program, purpose, package in _OPTIONAL:
        path = find_program(program)
        if path is not None:
            checks.append(Check(program, "ok", path))
        else:
            advice = f"for {purpose}: sudo apt install {package}"
            checks.append(Check(program, "note", "optional, not installed", advice))
    return checks


def _attempt(name: str, check: Callable[[], Check | list[Check]]) -> list[Check]:
    """Run a check; one that cannot run is itself a fault, never a traceback."""
    try:
        made = check()
    except Exception as error:
        return [Check(name, "broken", f"{type(error).__name__}: {error}", _REINSTALL)]
    return made if isinstance(made, list) else [made]


async def examine() -> list[Check]:
    """Run every check.

    Returns
    -------
    list of Check
    """
    checks = [
        *_attempt("Python", _python),
        *_attempt("packages", _packages),
        *_attempt("front end", _front_end),
        *_attempt("JupyterLab", _jupyter_command),
        *_attempt("kernel", _kernelspec),
        *_attempt("comms over subshells", _subshells),
    ]
    try:
        checks += await _loopback()
    except Exception as error:
        advice = "the last lines say why; if not, see whether something blocks 127.0.0.1"
        checks.append(Check("lab", "broken", str(error) or type(error).__name__, advice))
    return checks + _optional()


def notebook_report() -> str:
    """Check, from within a notebook, what would keep it from working.

    Returns
    -------
    str
        The same sentence wherever all is well; otherwise a line per fault, with
        what to do.

    Examples
    --------
    >>> print(notebook_report())  # doctest: +SKIP
    Packages, widgets, and the JupyterLab beside this kernel: all well.
    """
    checks = [
        *_attempt("packages", _packages),
        *_attempt("front end", _front_end),
        *_attempt("JupyterLab and kernel", _parent),
    ]
    faults = [f"{check.name}: {check.found} → {check.advice}" for check in checks if check.status == "broken"]
    return "\n".join(faults) or "Packages, widgets, and the JupyterLab beside this kernel: all well."


def table(checks: Iterable[Check]) -> Table:
    """Return the report as a table for the terminal.

    Parameters
    ----------
    checks : iterable of Check
        The report.

    Returns
    -------
    rich.table.Table
    """
    from rich.markup import escape
    from rich.table import Table

    style = {"ok": "green", "note": "yellow", "broken": "bold red"}
    made = Table("", "what", "found", "what to do", title="rtlab doctor")
    for check in checks:
        made.add_row(
            f"[{style[check.status]}]{check.status}[/]",
            escape(check.name),
            escape(check.found),
            escape(check.advice),
        )
    return made
