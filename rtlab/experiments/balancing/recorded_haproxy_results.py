"""Experiments that need HAProxy: machines without it show results that were recorded on another machine.

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
from rtlab.lab.haproxy_load_balancer import Balancer
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
    """Runs an experiment if HAProxy is installed; otherwise returns the recorded result.

    Attributes
    ----------
    kind : {"measured", "recorded"}
        Whether results are measured now or were recorded earlier; for `Verdicts.claim`.

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
        """Run the experiment, or look up its recorded result.

        Parameters
        ----------
        run : coroutine function
            The experiment. A recorded result is converted to the class that its return annotation names;
            without such a class it stays plain data.
        *args, **kwargs
            Arguments of the experiment. As text, they identify the recorded run; a lab and lists do not.

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
    """Return the class named by a function's return annotation, else Any, as the result is plain data."""
    named: object = run.__annotations__.get("return")
    found = vars(sys.modules[run.__module__]).get(named) if isinstance(named, str) else named
    return found if isinstance(found, type) else Any


def _text(value: object) -> str:
    return value.__name__ if isinstance(value, type) else str(value)
