"""``rtlab bench fanout``: the server's CPU time per delivery to a room, and the round trip of an echo.

A room of raw readers gets one message after the other. The server's CPU time is read from
outside its process, so clients do not count. The peer is ``websockets.broadcast`` in a child
process of its own, on the same kind of event loop, and both take turns in one run.

Two checkouts are compared with ::

    python -m rtlab.bench.suites.fanout --against FOLDER [--pairs 11] [--readers 200]

which starts this checkout's server and that of ``FOLDER`` (such as a ``git worktree`` of
an older commit) anew for each pair. A pair's ratio is new over old, and the printed 95 %
confidence interval is over the pairs. The new checkout *holds* if the interval reaches
below the limit and is no wider than the limit itself: a wider one proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import secrets
import statistics
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from rtlab.bench.asyncio_room_readers import Readers, gather_readers
from rtlab.bench.peers.peer_servers import PeerServer
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.errors import LabError
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.measure.statistics.equivalence import equivalence
from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.processes.start_child_process import Child

__all__ = ["CheckoutComparison", "compare", "run"]

REPEATS: Final = 7
READERS: Final = (200, 500)
#: Deliveries in one reading: 0.4 s of CPU time at 8 µs each.
DELIVERIES: Final = 50_000
ROUND_TRIPS: Final = 1_000

# Two checkouts
PAIRS: Final = 11
MIN_PAIRS: Final = 9
LIMIT_PERCENT: Final = 3.0
#: Turns of a pair; each measures both sides, and which one is first alternates.
TURNS: Final = 6
START_TIMEOUT: Final = 20.0


class _Side(NamedTuple):
    readers: Readers
    pid: int


async def _per_delivery(side: _Side, deliveries: int) -> float:
    """Return the server's CPU time per delivery, in µs."""
    messages = max(1, deliveries // len(side.readers))
    before = cpu_seconds(side.pid)
    await side.readers.publish(messages)
    return (cpu_seconds(side.pid) - before) / (messages * len(side.readers)) * 1e6


async def _against_peer(ours: _Side, peer: _Side) -> tuple[list[list[float]], list[list[float]]]:
    """Return CPU per delivery and round trips, each (ours, the peer's), one number per repeat, in µs."""
    cpu: list[list[float]] = [[], []]
    trips: list[list[float]] = [[], []]
    for turn in range(REPEATS + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        found = [0.0, 0.0]
        for which in order:
            found[which] = await _per_delivery((ours, peer)[which], DELIVERIES)
        both = await ours.readers.round_trips(peer.readers, ROUND_TRIPS)
        if turn:  # the first turn warms up
            for which in (0, 1):
                cpu[which].append(found[which])
                trips[which].append(both[which] * 1e6)
    return cpu, trips


def _row(metric: str, values: list[list[float]]) -> Result:
    ours, peer = values
    row = Result.of("fanout", metric, ours, "µs", "websockets", peer)
    ratios = [our / their for our, their in zip(ours, peer, strict=True)]
    return msgspec.structs.replace(row, ratio=statistics.median(ratios))


async def run(start_lab: StartLab) -> list[Result]:
    """Compare the server with bare ``websockets.broadcast``.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server is measured.

    Returns
    -------
    list of Result
        CPU time per delivery, for rooms of 200 and 500 readers; the round trip of an echo beside each room.
    """
    raise_nofile()
    results: list[Result] = []
    echoes: list[Result] = []
    lab = await start_lab(heartbeat=3600.0)
    peer = await PeerServer.start("websockets")
    try:
        pid = lab.pids[0]
        for count in READERS:
            async with (
                gather_readers(lab.ws_url, count) as ours,
                gather_readers(peer.url.replace("http", "ws", 1) + "/", count) as theirs,
            ):
                cpu, trips = await _against_peer(_Side(ours, pid), _Side(theirs, peer.pid))
            results.append(_row(f"server CPU per delivery, room of {count}", cpu))
            echoes.append(_row(f"echo round trip p50, room of {count}", trips))
    finally:
        await peer.stop()
        await lab.stop()
    return results + echoes


# Two checkouts


class CheckoutComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of two checkouts.

    Parameters
    ----------
    metric : str
        What was measured.
    new_us, old_us : list of float
        One number per pair, in µs.
    change_percent, low_percent, high_percent : float
        Estimated change from old to new, and the bounds of its 95 % interval.
    """

    metric: str
    new_us: list[float]
    old_us: list[float]
    change_percent: float
    low_percent: float
    high_percent: float

    @classmethod
    def of(cls, metric: str, new_us: list[float], old_us: list[float]) -> CheckoutComparison:
        """Compare pairs by their ratios (Hodges–Lehmann, on logarithms).

        Examples
        --------
        >>> CheckoutComparison.of("cpu", [1.01] * 9, [1.0] * 9).holds
        True
        """
        logs = [[100 * math.log(value) for value in values] for values in (new_us, old_us)]
        found = equivalence(*logs, margin_ms=LIMIT_PERCENT, confidence=0.95)
        percents = (100 * math.expm1(x / 100) for x in (found.difference_ms, found.low_ms, found.high_ms))
        change, low, high = percents
        return cls(
            metric=metric,
            new_us=new_us,
            old_us=old_us,
            change_percent=change,
            low_percent=low,
            high_percent=high,
        )

    @property
    def holds(self) -> bool:
        """Whether the interval reaches below the limit, and is no wider than the limit."""
        return self.low_percent <= LIMIT_PERCENT and self.high_percent - self.low_percent <= LIMIT_PERCENT

    def __str__(self) -> str:
        new, old = statistics.median(self.new_us), statistics.median(self.old_us)
        if self.holds:
            verdict = "holds"
        else:
            verdict = "slower" if self.low_percent > LIMIT_PERCENT else "undecided: the interval is too wide"
        return (
            f"{self.metric}: {new:.2f} µs, before {old:.2f} µs: {self.change_percent:+.2f} % "
            f"(95 %: {self.low_percent:+.2f} to {self.high_percent:+.2f}, limit +{LIMIT_PERCENT:g}, "
            f"{len(self.new_us)} pairs): {verdict}"
        )


def _environment(checkout: Path) -> dict[str, str]:
    """Return environment variables that make a child import rtlab from a checkout, after a trial."""
    environment = {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-P", "-c", "import rtlab; print(rtlab.__file__)"]
    found = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if not found.stdout.startswith(str(checkout)):
        raise LabError(f"expected a checkout of rtlab in {checkout}, got {found.stdout or found.stderr!r}")
    return environment


@asynccontextmanager
async def _server(environment: dict[str, str], readers: int) -> AsyncGenerator[_Side]:
    command = [sys.executable, "-P", "-m", "rtlab.server", "--watch-fd", "0", "--heartbeat", "0"]
    child = Child("server", command, {"RTLAB_TOKEN": secrets.token_hex(8), **environment})
    try:
        port = await child.announced(START_TIMEOUT)
        async with gather_readers(f"ws://127.0.0.1:{port}/ws", readers) as gathered:
            yield _Side(gathered, child.pid)
    finally:
        await child.stop(START_TIMEOUT)


async def compare(
    new: Path,
    old: Path,
    *,
    pairs: int = PAIRS,
    readers: int = READERS[0],
    deliveries: int = DELIVERIES,
    round_trips: int = ROUND_TRIPS,
) -> list[CheckoutComparison]:
    """Compare the servers of two checkouts.

    Parameters
    ----------
    new, old : Path
        The folders that hold ``rtlab/``.
    pairs : int
        How often both servers are started; at least 9.
    readers : int
        Readers in the room.
    deliveries, round_trips : int
        Deliveries and echoes of each side in each pair.

    Returns
    -------
    list of CheckoutComparison
        Server CPU per delivery, and the round trip of an echo.

    Raises
    ------
    LabError
        If a folder holds no rtlab, or its server does not start.
    ValueError
        If there are too few pairs.
    """
    if pairs < MIN_PAIRS:
        raise ValueError(f"expected at least {MIN_PAIRS} pairs, got {pairs}")
    raise_nofile()
    environments = [_environment(folder.resolve()) for folder in (new, old)]
    cpu: tuple[list[float], list[float]] = ([], [])
    trips: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        async with AsyncExitStack() as stack:
            sides: list[_Side] = [_Side(Readers(""), 0)] * 2
            for which in (0, 1) if pair % 2 else (1, 0):
                sides[which] = await stack.enter_async_context(_server(environments[which], readers))
            for side in sides:  # warms up
                await _per_delivery(side, deliveries // TURNS)
            await sides[0].readers.round_trips(sides[1].readers, round_trips // 10)
            found: tuple[list[float], list[float]] = ([], [])
            for turn in range(TURNS):
                for which in (0, 1) if turn % 2 else (1, 0):
                    found[which].append(await _per_delivery(sides[which], deliveries // TURNS))
            both = await sides[0].readers.round_trips(sides[1].readers, round_trips)
        for which in (0, 1):
            cpu[which].append(statistics.median(found[which]))
            trips[which].append(both[which] * 1e6)
    return [
        CheckoutComparison.of(f"server CPU per delivery, room of {readers}", *cpu),
        CheckoutComparison.of("echo round trip p50", *trips),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Compare this checkout with another; the exit code is 0 when nothing got slower."""
    parser = argparse.ArgumentParser(prog="python -m rtlab.bench.suites.fanout", allow_abbrev=False)
    parser.add_argument("--against", type=Path, required=True, help="folder of the other checkout")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"at least {MIN_PAIRS}")
    parser.add_argument("--readers", type=int, default=READERS[0], help="in the room")
    options: dict[str, Any] = vars(parser.parse_args(arguments))
    here = Path(__file__).resolve().parents[3]
    try:
        found = asyncio.run(compare(here, options.pop("against"), **options))
    except (LabError, ValueError) as error:
        print(f"rtlab bench fanout: {error}", file=sys.stderr)
        return 2
    for comparison in found:
        print(comparison)
    return 0 if all(comparison.holds for comparison in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
