"""The registry of benchmarks: every module of ``suites/``, by its name on the command line.

A benchmark called ``NAME`` is the coroutine function ``run(start_lab)`` of the
module ``rtlab/bench/suites/NAME.py``. A module in that folder is registered
without further steps, and is imported only when its benchmark runs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from rtlab.bench.results import Result
from rtlab.errors import RtlabError

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["BENCHES", "Benchmark", "StartLab", "check_options"]

#: Starts a lab, with the options of ``rtlab.Lab``.
StartLab = Callable[..., Awaitable["Lab"]]

#: A benchmark: takes a `StartLab` and, as keyword arguments, its own options.
Benchmark = Callable[..., Awaitable[list[Result]]]


class _Lazy:
    """A benchmark whose module is imported when it is checked or runs."""

    def __init__(self, module: str) -> None:
        self._module = module

    async def __call__(self, start_lab: StartLab, **options: Any) -> list[Result]:
        return await self.checked(options)(start_lab, **options)

    def checked(self, options: Iterable[str]) -> Benchmark:
        chosen = importlib.import_module(self._module).run
        unknown = [f"--{name}" for name in options if name not in signature(chosen).parameters]
        if unknown:
            raise RtlabError(f"{self._module.rpartition('.')[2]} takes no {', '.join(unknown)}: leave it out")
        return chosen


def _modules() -> Iterable[str]:
    path = importlib.import_module("rtlab.bench.suites").__path__
    return sorted(found.name for found in pkgutil.iter_modules(path))


#: Name of the benchmark → the benchmark.
BENCHES: Final[dict[str, Benchmark]] = {
    # ``import`` is a keyword, so its module has a longer name.
    module.removesuffix("_time"): _Lazy(f"rtlab.bench.suites.{module}")
    for module in _modules()
}


def check_options(names: Iterable[str], options: Mapping[str, object]) -> None:
    """Check, before the first benchmark runs, that each of them takes all options.

    Parameters
    ----------
    names : iterable of str
        Names of benchmarks, keys of `BENCHES`.
    options : mapping
        Options by name, such as ``messages``.

    Raises
    ------
    RtlabError
        When a benchmark does not take an option.
    """
    for name in names:
        bench = BENCHES[name]
        if options and isinstance(bench, _Lazy):  # without options, each is imported when it runs
            bench.checked(options)
