"""What lives in a notebook's kernel, counted from inside: `tests.hostile_reader` imports it there.

A name for each thing that a cell may leave behind: a lab, an open connection, a task, a child
process, a fault that is still in force.
"""

from __future__ import annotations

import asyncio
import json
import time
import weakref
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import psutil
from IPython.core.getipython import get_ipython

import tests.cheaper_kernel  # noqa: F401 - spares pictures and certificates
from rtlab.client.connection import Connection
from rtlab.errors import RtlabError
from rtlab.lab.lab import Lab
from rtlab.notebook import interrupted_cell
from rtlab.widgets.verdicts.verdict_table import Verdicts
from tests import warm_start

__all__ = ["claims", "error_names", "prepare", "report"]

#: The kernel's own tasks come and go with each cell.
_OF_THE_KERNEL: Final = ("/site-packages/ipykernel/", "/site-packages/tornado/", "/site-packages/zmq/")
_OPEN: Final = ("Connecting", "Connected", "Reconnecting")
_made: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()


def prepare() -> None:
    """Note every connection, obey interrupts as `rtlab lab` does, and spare the long form of tracebacks."""
    interrupted_cell.install()
    original = Connection.__init__

    def noting(self: Connection, *args: Any, **options: Any) -> None:
        _made.add(self)
        original(self, *args, **options)

    Connection.__init__ = noting  # type: ignore[method-assign]
    shell = get_ipython()
    assert shell is not None
    shell.run_line_magic("xmode", "Minimal")


def _tasks() -> list[str]:
    found: list[str] = []
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        code = getattr(task.get_coro(), "cr_code", None)
        if code is None or not any(part in code.co_filename for part in _OF_THE_KERNEL):
            found.append(f"task {getattr(task.get_coro(), '__qualname__', repr(task))}")
    return found


def _children() -> list[str]:
    found: list[str] = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                command = child.cmdline()
                if warm_start.__file__ in command:  # it lives as long as the kernel
                    continue
                found.append(f"child {command[command.index('-m') + 1] if '-m' in command else child.name()}")
        except psutil.NoSuchProcess:
            continue
    return found


async def _faults(lab: Lab) -> list[str]:
    try:
        proxies = await lab.faults.call("GET", "/proxies")
    except RtlabError:  # a lab without a fault proxy, or one that has just been stopped
        return []
    found = [f"fault proxy {name.rstrip('0123456789')}" for name in proxies]
    for proxy in proxies.values():
        found += [f"fault {proxy['name']}: {toxic['name']}" for toxic in proxy["toxics"]]
        found += [] if proxy["enabled"] else [f"fault {proxy['name']}: down"]
    return found


async def _census() -> Counter[str]:
    """Count what lives here."""
    labs = Lab.running()
    found = Counter(_tasks() + _children() + ["lab"] * len(labs))
    found.update(f"connection {type(c).__name__}" for c in _made if c.state.value in _OPEN)
    for lab in labs:
        found.update(await _faults(lab))
    return found


async def report(allowed: Mapping[str, int], patience: float) -> None:
    """Print what lives here, as JSON: once it is no more than `allowed`, or `patience` seconds are over."""
    deadline = time.monotonic() + patience
    while not (found := await _census()) <= Counter(allowed) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    print(json.dumps(found))


def claims(names: Mapping[str, Any]) -> None:
    """Print the verdict of each claim that judges no timing, as JSON."""
    named = [value for name, value in names.items() if not name.startswith("_")]  # but not IPython's history
    tables = [value for value in named if isinstance(value, Verdicts)]
    rows = {claim.text: claim.verdict for table in tables for claim in table if not claim.timing}
    print(json.dumps(rows))


def error_names() -> None:
    """Print the names of all errors that rtlab raises on purpose, as JSON."""

    def below(kind: type[Exception]) -> set[str]:
        return {kind.__name__}.union(*map(below, kind.__subclasses__()))

    print(json.dumps(sorted(below(RtlabError))))
