"""``rtlab bench snapshot``: 10,000 interleavings of a writer, a room and a reader; how many leave a gap."""

from __future__ import annotations

from typing import Final

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.experiments.snapshot_interleavings import PositionFirst, StateFirst, run_interleavings

__all__ = ["run"]

COUNT: Final = 10_000


async def run(start_lab: StartLab, count: int = COUNT) -> list[Result]:
    """Count the interleavings after which a reader's state is wrong.

    Parameters
    ----------
    start_lab : StartLab
        Not used: there are no sockets.
    count : int
        Interleavings of each kind of reader, without faults and with.

    Returns
    -------
    list of Result
        A reader that fetches the position first, beside one that fetches the state first; without faults,
        and with cuts and restarts.
    """
    results: list[Result] = []
    for faults in (False, True):
        careful, naive = (
            run_interleavings(reader, count, faults=faults) for reader in (PositionFirst, StateFirst)
        )
        what = "cuts and restarts" if faults else "no faults"
        name = f"{count:,} interleavings, {what}: with a gap"
        results.append(Result.of("snapshot", name, [careful.with_gaps], "", "state first", [naive.with_gaps]))
    return results
