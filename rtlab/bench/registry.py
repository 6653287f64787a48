"""The registry of benchmarks: every module of ``suites/``, by its name on the command line.

A benchmark called ``NAME`` is the coroutine function ``run(start_lab)`` of the
module ``rtlab/bench/suites/NAME.py``. A module in that folder is registered
without further steps, and is imported only when its benchmark runs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from rtlab.bench.results import Result
from rtlab.errors import RtlabError

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["BENCHES", "Benchmark", "StartLab"]

#: Starts a lab, with the options of ``rtlab.Lab``.
StartLab = Callable[..., Awaitable["Lab"]]

#: A benchmark: takes a `StartLab` and, as keyword arguments, its own options.
Benchmark = Callable[..., Awaitable[list[Result]]]


def _lazy(module: str) -> Benchmark:
    async def run(start_lab: StartLab, **options: Any) -> list[Result]:
        chosen = importlib.import_module(module).run
        unknown = [f"--{name}" for name in options if name not in signature(chosen).parameters]
        if unknown:
            raise RtlabError(f"{module.rpartition('.')[2]} takes no {', '.join(unknown)}: leave it out")
        return await chosen(start_lab, **options)

    return run


def _modules() -> Iterable[str]:
    path = importlib.import_module("rtlab.bench.suites").__path__
    return sorted(found.name for found in pkgutil.iter_modules(path))


#: Name of the benchmark → the benchmark.
BENCHES: Final[dict[str, Benchmark]] = {
    # ``import`` is a keyword, so its module has a longer name.
    module.removesuffix("_time"): _lazy(f"rtlab.bench.suites.{module}")
    for module in _modules()
}
