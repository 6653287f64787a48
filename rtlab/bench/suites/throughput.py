"""``rtlab bench throughput``: what batching, fan-out, compression and thousands of clients cost.

``--only ROW`` runs one of the rows below. A number counts only if the measured process used at least nine
tenths of a core; the table says how much it used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.throughput.batched_send import batched_send
from rtlab.bench.throughput.batching_model_check import ClosedForms, check_batching_model
from rtlab.bench.throughput.cursor_formatting_cost import cursors
from rtlab.bench.throughput.delivery_cost import compressed_fan_out, fan_out, room_sizes, server_batching
from rtlab.bench.throughput.honest_echoes_under_attack import attacks
from rtlab.bench.throughput.memory_per_idle_connection import held_connections, memory_per_connection
from rtlab.bench.throughput.stalled_client import stalled_client
from rtlab.errors import RtlabError

__all__ = ["ROWS", "run"]

#: Name → function that measures the row; it takes a `StartLab`, and its own options.
ROWS: Final[dict[str, Callable[..., Awaitable[list[Result]]]]] = {
    "batched-send": batched_send,
    "server-batching": server_batching,
    "fan-out": fan_out,
    "compressed": compressed_fan_out,
    "stalled": stalled_client,
    "memory": memory_per_connection,
    "idle": held_connections,
    "room-sizes": room_sizes,
    "cursors": cursors,
    "sweep": check_batching_model,
    "attacks": attacks,
}

#: Options for which a row takes seconds: they only show that it runs.
_TINY: Final[dict[str, dict[str, Any]]] = {
    "batched-send": {"messages": 1_000, "repeats": 1, "sizes": (10, 100)},
    "server-batching": {"readers": 3, "deliveries": 90, "repeats": 1},
    "fan-out": {"readers": 5, "deliveries": 100, "repeats": 1},
    "compressed": {"readers": 5, "deliveries": 100, "repeats": 1},
    "stalled": {"readers": 5, "messages": 20, "repeats": 1, "period": 0.001},
    "memory": {"counts": (20, 60)},
    "idle": {"counts": (10, 20), "seconds": 0.5, "heartbeat": 0.25},
    "room-sizes": {"sizes": (2, 5), "deliveries": 50, "repeats": 1},
    "cursors": {"events": 100, "repeats": 1},
    "sweep": {"rates": (500.0,), "waits": (0.02,), "limits": (5,), "seconds": 0.5, "messages": 200},
    "attacks": {"clients": 5, "seconds": 0.2},
}


async def run(
    start_lab: StartLab, only: str = "", tiny: bool = False, closed_forms: ClosedForms | None = None
) -> list[Result]:
    """Measure all rows, or one.

    Parameters
    ----------
    start_lab : StartLab
        Starts the labs.
    only : str
        A key of `ROWS`; empty for all.
    tiny : bool
        Whether to run with counts so small that they only show that the rows run.
    closed_forms : ClosedForms, optional
        The formulas that the sweep is compared with; None compares with nothing.

    Returns
    -------
    list of Result

    Raises
    ------
    RtlabError
        If there is no such row.
    """
    if only and only not in ROWS:
        raise RtlabError(f"expected --only with one of {', '.join(ROWS)}, got {only!r}")
    results: list[Result] = []
    for name in [only] if only else ROWS:
        options = dict(_TINY[name]) if tiny else {}
        if name == "sweep":
            options["closed_forms"] = closed_forms
        results += await ROWS[name](start_lab, **options)
    return results
