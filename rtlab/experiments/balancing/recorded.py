"""Experiments that need HAProxy, on machines without it: they are shown as they were recorded elsewhere.

``RTLAB_RECORD=1 python -m tests.refresh_notebooks 17_scaling`` records them again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast

import msgspec

from rtlab.errors import LabError
from rtlab.lab.balancer import Balancer
from rtlab.lab.lab import Lab
from rtlab.measure.provenance import provenance, write_json
from rtlab.resources import checkout, data_path

__all__ = ["BalancedRuns"]

_FILE: Final = "balancing.json"
_RECORD: Final = "RTLAB_RECORD"
_COMMAND: Final = f"{_RECORD}=1 python -m tests.refresh_notebooks 17_scaling"

P = ParamSpec("P")
T = TypeVar("T")


class BalancedRuns:
    """Runs an experiment where HAProxy is installed; else returns what it gave when it was recorded.

    Attributes
    ----------
    kind : {"measured", "recorded"}
        What it returns is that; for `Verdicts.claim`.

    Examples
    --------
    ::

        balanced = BalancedRuns()
        joined = await balanced(third_joins, "round_robin")
    """

    def __init__(self) -> None:
        self.kind: Literal["measured", "recorded"] = "measured" if Balancer.installed() else "recorded"
        self._runs: dict[str, Any] = {}

    async def __call__(self, run: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it, or look it up.

        Parameters
        ----------
        run : coroutine function
            The experiment. What it returns is data; a class of its own only where its annotation says so.
        *args, **kwargs
            Its arguments; their text names the run.

        Raises
        ------
        LabError
            When HAProxy is not installed, and this run was never recorded.
        """
        name = _name(run.__name__, args, kwargs)
        if self.kind == "measured":
            result = await run(*args, **kwargs)
            self._keep(name, result)
            return result
        recorded = json.loads(data_path(_FILE).read_text("utf-8"))
        if name not in recorded["runs"]:
            raise LabError(f"{name} needs HAProxy, and no record of it is kept: `apt install haproxy`")
        print(
            f"HAProxy is not installed here (`apt install haproxy`, `brew install haproxy`): {name} is shown "
            f"as it was recorded on {recorded['about']['date']}"
        )
        return cast("T", msgspec.convert(recorded["runs"][name], _returns(run)))

    def _keep(self, name: str, result: object) -> None:
        self._runs[name] = msgspec.to_builtins(result)
        top = checkout()
        if top is not None and os.environ.get(_RECORD):
            about = provenance(_COMMAND, {"haproxy": "-v"})
            write_json(top / "data" / _FILE, about, {"runs": self._runs})


def _name(run: str, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    words = [_text(arg) for arg in args if not isinstance(arg, Lab | list)]
    words += [f"{key}={_text(value)}" for key, value in kwargs.items()]
    return f"{run}({', '.join(words)})"


def _returns(run: Callable[..., object]) -> Any:
    """Return the class that a function says to return; other annotations name what is data already."""
    named: object = run.__annotations__.get("return")
    found = vars(sys.modules[run.__module__]).get(named) if isinstance(named, str) else named
    return found if isinstance(found, type) else Any


def _text(value: object) -> str:
    return value.__name__ if isinstance(value, type) else str(value)
