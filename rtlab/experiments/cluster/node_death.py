"""The owner of a room dies, hangs or is cut off while messages flow: what was promised, and what came.

``python -m rtlab.experiments.cluster.node_death nats redis --save FILE`` records every break over these
brokers. In each of the three modes of delivery a publisher at the first node talks to a reader at the second,
in a room that the third, the victim, numbers. No client is connected to the victim: what is lost
or doubled is the nodes' doing, and the broker's.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

from rtlab.client.receipt import Receipt
from rtlab.client.retransmission import DeliveryMode
from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.errors import LabError, RtlabError
from rtlab.experiments.cluster.breakable_cluster import BreakableCluster
from rtlab.measure.ledger import Ledger, Stamp
from rtlab.measure.provenance import provenance, write_json
from rtlab.processes.tasks import together

__all__ = ["BREAKS", "MODES", "Break", "DeathRow", "break_cluster", "death_table"]

Break = Literal[
    "nothing", "kill -9 of the owner", "SIGSTOP of the owner", "owner cut off", "SIGSTOP of the broker"
]

#: Every way to break a cluster.
BREAKS: Final[tuple[Break, ...]] = get_args(Break)

#: Every mode of delivery.
MODES: Final[tuple[DeliveryMode, ...]] = get_args(DeliveryMode)

_READER: Final = "reader"
_PATIENCE: Final = 60.0
#: Seconds that the broker stands still.
_BROKER_STANDS: Final = 2.2
#: Seconds until what was done to the owner ends, though nothing has recovered by then: far more than it
#: takes, so that the end of the break is never what a recovery is owed to.
_LONGEST: Final = 20.0
#: Brokers whose clients learn from the broker where to connect: a proxy that they are told of sees little.
_PAST_THE_PROXY: Final = ("kafka",)
#: Messages a second in each mode of a recorded run: every broker here answers three senders that fast.
_RECORDED_RATE: Final = 10.0


class DeathRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one break did to one mode of delivery.

    Parameters
    ----------
    broker, happened, mode : str
        What was tried.
    sent, promised : int
        Messages, and those whose sender was told that they are published; at most once, nobody is told
        anything, and its sender believes in every ``send`` that returned.
    lost, duplicates, reordered : int
        The ledger's: promised and never came; came again; came after a later one.
    resyncs : int
        How often the reader was told that it may have missed something.
    recovery : float
        Seconds from the break until something arrived that was sent after it.
    """

    broker: str
    happened: str
    mode: str
    sent: int
    promised: int
    lost: int
    duplicates: int
    reordered: int
    resyncs: int
    recovery: float

    @property
    def silent_loss(self) -> int:
        """Messages that were lost without a ``resync``."""
        return 0 if self.resyncs else self.lost


async def break_cluster(
    cluster: BreakableCluster,
    happened: Break,
    *,
    modes: Sequence[DeliveryMode] = MODES,
    rate: float = 50.0,
    before: float = 0.4,
    hold: float | None = None,
) -> list[DeathRow]:
    """Break a cluster while messages flow, let it recover, and count.

    Parameters
    ----------
    cluster : BreakableCluster
        Whole; it is whole again afterwards.
    happened : str
        One of `BREAKS`; ``"nothing"`` is the control.
    modes : sequence of str
        Of `MODES`.
    rate : float
        Messages a second, for each mode.
    before : float
        Seconds until the break.
    hold : float, optional
        Seconds, at most, until what was stopped goes on: it does when every mode has recovered. By default
        20, and 2.2 where the broker stands still, without which nothing recovers. A killed node stays dead.

    Returns
    -------
    list of DeathRow
        One for each mode.

    Raises
    ------
    LabError
        When the cluster does not recover.
    """
    if hold is None:
        hold = _BROKER_STANDS if happened == "SIGSTOP of the broker" else _LONGEST
    await cluster.heal()
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(_PATIENCE + before + hold):
                run = [_Flow(cluster, mode, happened) for mode in modes]
                await together(*(stack.enter_async_context(flow.reader) for flow in run))
                await together(*(stack.enter_async_context(flow.publisher) for flow in run))
                await together(*(flow.join() for flow in run))
                flowing = asyncio.ensure_future(together(*(flow.send(rate) for flow in run)))
                try:
                    await asyncio.sleep(before)
                    await _break(cluster, happened)
                    broken_at = time.monotonic()  # what was sent while it was asked for may have passed
                    while time.monotonic() < broken_at + hold and not flowing.done():
                        if all(flow.recovery(broken_at) < math.inf for flow in run):
                            break
                        await asyncio.sleep(0.02)
                    cluster.resume()
                    await cluster.link.restore()
                    await asyncio.sleep(before)
                finally:
                    flowing.cancel()
                    await asyncio.wait((flowing,))
                if not flowing.cancelled():
                    flowing.result()  # raises what ended it
                await together(*(flow.end() for flow in run))
        except TimeoutError:
            raise LabError(f"the cluster did not recover from {happened!r}: run this cell again") from None
        finally:
            await cluster.heal()
    return [flow.row(broken_at) for flow in run]


async def _break(cluster: BreakableCluster, happened: Break) -> None:
    match happened:
        case "nothing":
            pass
        case "kill -9 of the owner":
            cluster.lab.kill(cluster.victim)
        case "SIGSTOP of the owner":
            cluster.pause(cluster.victim)
        case "owner cut off":
            if cluster.broker.kind in _PAST_THE_PROXY:
                raise LabError(
                    f"a client of {cluster.broker.kind} dials the address that the broker names, past the "
                    "proxy: its link cannot be cut here"
                )
            await cluster.link.stall()
        case "SIGSTOP of the broker":
            cluster.pause_broker()


class _Flow:
    """One mode: its publisher, its reader, and its ledger."""

    def __init__(self, cluster: BreakableCluster, mode: DeliveryMode, happened: str) -> None:
        self.mode: DeliveryMode = mode
        self.publisher = WebSocketConnection(cluster.ws_urls[0])
        self.reader = WebSocketConnection(cluster.ws_urls[1])
        self._names = cluster.broker.kind, happened
        self._room = cluster.room(prefix=mode)
        self._ledger = Ledger()
        self._ledger.watch(_READER)
        self._resyncs = 0
        self._receipts: list[tuple[Stamp, Receipt]] = []
        self._sent: list[float] = []
        self._arrivals: list[tuple[float, int]] = []
        self._ended = asyncio.Event()
        self.reader.on("stamped", self._arrived)
        self.reader.on("resync", self._missed)
        self.publisher.on("error", lambda event: None)  # it is what the break does; the receipts know
        self.reader.on("end", lambda message: self._ended.set())

    async def join(self) -> None:
        await together(self.publisher.join_room(self._room), self.reader.join_room(self._room))

    def _arrived(self, message: Any) -> None:
        number = int(message.payload)
        self._ledger.arrived(_READER, Stamp(self.mode, number))
        self._arrivals.append((time.monotonic(), number))

    def _missed(self, event: object) -> None:
        self._resyncs += 1

    async def send(self, rate: float) -> None:
        """Send on a schedule, for ever."""
        due = time.monotonic()
        while True:
            self._sent.append(time.monotonic())
            stamp = self._ledger.stamp(self.mode)
            receipt = await self.publisher.send(
                "stamped", stamp.number, room_id=self._room, delivery=self.mode
            )
            if self.mode == "at_most_once":
                self._ledger.ok(stamp)
            else:
                self._receipts.append((stamp, receipt))
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def end(self) -> None:
        """Wait for every answer; then publish a last message, and wait until it has come."""
        for stamp, receipt in self._receipts:
            with suppress(RtlabError):
                await receipt.acked()
                self._ledger.ok(stamp)
        while not self._ended.is_set():
            with suppress(RtlabError, TimeoutError):
                await self.publisher.request("end", room_id=self._room)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._ended.wait()

    def recovery(self, broken_at: float) -> float:
        """Return how long after the break something came that was sent after it; infinite so far."""
        later = (at for at, number in self._arrivals if self._sent[number] >= broken_at)
        return next(later, math.inf) - broken_at

    def row(self, broken_at: float) -> DeathRow:
        account = self._ledger.account(_READER, self.mode)
        broker, happened = self._names
        return DeathRow(
            broker=broker,
            happened=happened,
            mode=self.mode,
            sent=account.sent,
            promised=account.ok,
            lost=account.lost,
            duplicates=account.duplicates,
            reordered=account.reordered,
            resyncs=self._resyncs,
            recovery=self.recovery(broken_at),
        )


def death_table(rows: Sequence[DeathRow]) -> pd.DataFrame:
    """Return the verdicts as one table.

    Parameters
    ----------
    rows : sequence of DeathRow
        Of any brokers and breaks.

    Returns
    -------
    pandas.DataFrame
        Indexed by broker, what happened and mode; columns are the other fields, and ``silent_loss``.
    """
    records = [msgspec.structs.asdict(row) | {"silent_loss": row.silent_loss} for row in rows]
    frame = pd.DataFrame(records, columns=[*DeathRow.__struct_fields__, "silent_loss"])
    return frame.set_index(["broker", "happened", "mode"])  # pyright: ignore[reportUnknownMemberType]


async def _record(kinds: Sequence[str]) -> list[DeathRow]:
    rows: list[DeathRow] = []
    for kind in kinds:
        cluster = await BreakableCluster.start(kind)
        try:
            for happened in BREAKS:
                if happened == "owner cut off" and kind in _PAST_THE_PROXY:
                    continue
                rows += await break_cluster(cluster, happened, rate=_RECORDED_RATE)
        finally:
            await cluster.stop()
    return rows


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rtlab.experiments.cluster.node_death")
    parser.add_argument("kinds", nargs="+", help="brokers, such as nats and redis")
    parser.add_argument("--save", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    about = provenance(f"{parser.prog} {' '.join(arguments.kinds)} --save data/node_death.json", {})
    rows = asyncio.run(_record(arguments.kinds))
    print(death_table(rows).to_string())  # pyright: ignore[reportUnknownMemberType]
    if arguments.save is not None:
        write_json(arguments.save, about, {"rows": [msgspec.to_builtins(row) for row in rows]})


if __name__ == "__main__":
    _main()
