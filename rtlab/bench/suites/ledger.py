"""``rtlab bench ledger``: the long delivery proof, a million messages through a thousand faults.

The rounds use all transports in turn, each round with its own seed. In every other cycle through the
transports, each round restarts the server. With ``--resume FILE`` each finished round is appended to the
file as a line, and the same command continues after the last one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import Progress

from rtlab.bench.delivery_proof_round import KINDS, MODES, Round, run_round
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.start_delivery_proof_child import ClientsProcess
from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.measure.delivery_ledger import Anomalies

__all__ = ["run"]

MESSAGES: Final = 1_000_000
#: Messages of each sender in a round, and the most faults. A round has four senders.
COUNT: Final = 2_500
FAULTS: Final = 30
#: Messages that a sender sends before it waits 10 ms; interval and timeout of pings, and a round's deadline,
#: in seconds.
_LOAD: Final[dict[str, Any]] = {"together": 20, "heartbeat": (0.2, 0.2), "deadline": 300.0}
#: WebRTC's rounds are smaller and slower. There each small message is a packet, and a busy machine's socket
#: buffers drop some packets of a burst. SCTP retransmits a lost packet after at least 1 s, then 2 s and 4 s,
#: and all later messages, pings too, wait for it (RFC 9260 §6.3).
COUNT_OF_WEBRTC: Final = 500
FAULTS_OF_WEBRTC: Final = 6
_LOAD_OF_WEBRTC: Final[dict[str, Any]] = {"together": 1, "heartbeat": (1.0, 5.0), "deadline": 900.0}
#: The servers' limits of history and backlog: so large that the proof never reaches them.
_KEPT: Final = {"history_messages": 100_000, "history_bytes": 1 << 26, "history_age": 60.0}
_BACKLOG: Final = {"backlog_messages": 100_000, "backlog_bytes": 1 << 26, "write_limit_bytes": 1 << 26}


async def run(start_lab: StartLab, messages: int = MESSAGES, resume: str = "") -> list[Result]:
    """Run rounds until `messages` messages were sent.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab of all rounds.
    messages : int
        Messages to send, in all delivery modes and both directions.
    resume : str
        File of finished rounds, which are not run again; empty for none.

    Returns
    -------
    list of Result
        For each delivery mode the violations of its guarantee, which must be 0; and, without a limit, what
        the mode allows: messages lost with at-most-once, and duplicated with at-least-once.

    Raises
    ------
    LabError
        If a round failed, or the file does not hold rounds or cannot be written.
    """
    rounds = _read(Path(resume)) if resume else []
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("messages", total=messages, completed=sum(one.messages for one in rounds))
        if sum(one.messages for one in rounds) < messages:
            if resume:
                _check_writable(Path(resume))
            lab = await start_lab(faults=True, **_KEPT, **_BACKLOG, write_limit_messages=100_000)
            try:
                async with ClientsProcess() as clients:
                    while sum(one.messages for one in rounds) < messages:
                        one = await _round(lab, clients, len(rounds))
                        rounds.append(one)
                        if resume:
                            _keep(Path(resume), one)
                        bar.advance(task, one.messages)
            finally:
                await lab.stop()
    return _results(rounds)


async def _round(lab: Lab, clients: ClientsProcess, number: int) -> Round:
    kind, turn = KINDS[number % len(KINDS)], number // len(KINDS)
    count, faults, load = COUNT, FAULTS, _LOAD
    if kind == "webrtc":
        count, faults, load = COUNT_OF_WEBRTC, FAULTS_OF_WEBRTC, _LOAD_OF_WEBRTC
    try:
        return await run_round(
            lab, clients, kind, number, count=count, faults=faults, restarts=turn % 2, **load
        )
    except LabError as error:
        raise LabError(f"round {number} of the proof: {error}") from error


def _check_writable(path: Path) -> None:
    try:
        path.open("ab").close()
    except OSError as error:
        raise LabError(f"cannot keep rounds in {path} ({error.strerror}): name another file") from None


def _keep(path: Path, one: Round) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(one) + b"\n")


def _read(path: Path) -> list[Round]:
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=Round) for line in lines]
    except (OSError, ValueError, msgspec.DecodeError) as error:  # ValueError: text that is not UTF-8
        raise LabError(
            f"{path} does not hold rounds of this benchmark ({error}): name another file"
        ) from error


def _results(rounds: list[Round]) -> list[Result]:
    sent = sum(one.messages for one in rounds)
    faults = sum((Counter(one.faults) for one in rounds), Counter[str]())
    up = {mode: [one.up[mode] for one in rounds] for mode in MODES}
    down = [account for one in rounds for account in one.down.values()]
    most, least, once = (up[mode] for mode in MODES)

    def total(accounts: Iterable[Anomalies], *names: str) -> int:
        return sum(getattr(account, name) for account in accounts for name in names)

    promised = {
        "effectively once: lost": total(once, "lost"),
        "effectively once: twice or out of order": total(once, "duplicates", "reordered"),
        "at least once: lost": total(least, "lost"),
        "at most once: twice or out of order": total(most, "duplicates", "reordered"),
        "down from the server: lost, twice or out of order": total(down, "lost", "duplicates", "reordered"),
        "never sent, yet received": total([*most, *least, *once, *down], "phantoms"),
    }
    counted = {
        "at least once: twice (allowed)": total(least, "duplicates"),
        "at most once: lost (allowed)": total(most, "lost"),
        "missing after a restart, and the receiver was told (allowed)": total(
            [*least, *once, *down], "resynced"
        ),
        "rounds that broke a promise": sum(bool(one.broken()) for one in rounds),
        "messages sent": sent,
        "faults caused": faults.total(),
    }
    counted |= {f"faults: {name}": count for name, count in sorted(faults.items())}
    rows = [Result.of("ledger", name, [count], "", "limit", [0]) for name, count in promised.items()]
    return rows + [Result.of("ledger", name, [count], "") for name, count in counted.items()]
