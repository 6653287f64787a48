"""A room's owner dies, hangs or is cut off while messages flow: which acknowledged messages arrive?

``python -m rtlab.experiments.cluster.node_death_losses nats redis --save FILE`` records every fault with
these brokers. In each of the three delivery modes a publisher at the first node sends to a reader at the
second, in a room that the third node, the victim, owns. No client is connected to the victim, so every lost
or duplicated message is due to the nodes or the broker.
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

from rtlab.client.delivery.receipt import Receipt
from rtlab.client.delivery.retransmission import DeliveryMode
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError, RtlabError
from rtlab.experiments.cluster.breakable_cluster import BreakableCluster
from rtlab.measure.delivery_ledger import Ledger, MessageIdentity
from rtlab.measure.provenance import provenance, write_json
from rtlab.processes.owned_tasks import together

__all__ = ["BREAKS", "MODES", "Break", "DeathRow", "break_cluster", "death_table"]

Break = Literal[
    "nothing", "kill -9 of the owner", "SIGSTOP of the owner", "owner cut off", "SIGSTOP of the broker"
]

#: Every fault that `break_cluster` can cause.
BREAKS: Final[tuple[Break, ...]] = get_args(Break)

#: Every delivery mode.
MODES: Final[tuple[DeliveryMode, ...]] = get_args(DeliveryMode)

_READER: Final = "reader"
_PATIENCE: Final = 60.0
#: Seconds for which the broker is paused.
_BROKER_STANDS: Final = 2.2
#: Seconds after which a fault on the owner ends even if delivery has not recovered. Far longer than a
#: recovery takes, so that a recovery is never due to the end of the fault.
_LONGEST: Final = 20.0
#: Brokers that tell their clients which address to connect to, so that the clients bypass the fault proxy.
_PAST_THE_PROXY: Final = ("kafka",)
#: Messages per second and mode in a recorded run, slow enough for every broker with three senders.
_RECORDED_RATE: Final = 10.0


class DeathRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one fault did to one delivery mode.

    Parameters
    ----------
    broker, happened, mode : str
        The broker, the fault and the delivery mode.
    sent, promised : int
        Messages sent, and messages acknowledged to their sender. In at-most-once mode there are no
        acknowledgements, and every ``send`` that returned counts.
    lost, duplicates, reordered : int
        Messages that were promised but never arrived, that arrived again, and that arrived after a later
        one, as the ledger counts them.
    resyncs : int
        How often the reader was told that it may have missed messages.
    recovery : float
        Seconds from the fault until the first message arrived that was sent after the fault.
    silent_loss : int
        Lost messages that lie in no gap that a ``resync`` announced; see
        `rtlab.measure.delivery_ledger.Anomalies`.
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
    silent_loss: int


async def break_cluster(
    cluster: BreakableCluster,
    happened: Break,
    *,
    modes: Sequence[DeliveryMode] = MODES,
    rate: float = 50.0,
    before: float = 0.4,
    hold: float | None = None,
) -> list[DeathRow]:
    """Cause a fault in a cluster while messages flow, let it recover, and count losses and duplicates.

    Parameters
    ----------
    cluster : BreakableCluster
        A running cluster. It is healed before and afterwards.
    happened : str
        One of `BREAKS`; ``"nothing"`` is the control.
    modes : sequence of str
        Delivery modes to test, from `MODES`.
    rate : float
        Messages per second in each mode.
    before : float
        Seconds of messages before the fault, and again after it has ended.
    hold : float, optional
        Longest duration of the fault in seconds; it ends earlier when every mode has recovered. None: 20, or
        2.2 for a paused broker, because nothing recovers without it. A killed node stays dead.

    Returns
    -------
    list of DeathRow
        One row for each mode.

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
                    broken_at = time.monotonic()  # afterwards: messages sent earlier may have got through
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
                    flowing.result()  # raises the error that ended the senders
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
    """Publisher, reader and ledger of one delivery mode."""

    def __init__(self, cluster: BreakableCluster, mode: DeliveryMode, happened: str) -> None:
        self.mode: DeliveryMode = mode
        self.publisher = WebSocketConnection(cluster.ws_urls[0])
        self.reader = WebSocketConnection(cluster.ws_urls[1])
        self._names = cluster.broker.kind, happened
        self._room = cluster.room(prefix=mode)
        self._ledger = Ledger()
        self._ledger.watch(_READER)
        self._resyncs = 0
        self._receipts: list[tuple[MessageIdentity, Receipt]] = []
        self._sent: list[float] = []
        self._arrivals: list[tuple[float, int]] = []
        self._ended = asyncio.Event()
        self.reader.on("stamped", self._arrived)
        self.reader.on("resync", self._missed)
        self.publisher.on("error", lambda event: None)  # expected; the receipts record failures
        self.reader.on("end", lambda message: self._ended.set())

    async def join(self) -> None:
        await together(self.publisher.join_room(self._room), self.reader.join_room(self._room))

    def _arrived(self, message: Any) -> None:
        number = int(message.payload)
        self._ledger.arrived(_READER, MessageIdentity(self.mode, number))
        self._arrivals.append((time.monotonic(), number))

    def _missed(self, event: object) -> None:
        self._resyncs += 1
        self._ledger.resync(_READER)

    async def send(self, rate: float) -> None:
        """Send on a fixed schedule until cancelled."""
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
        """Wait for every acknowledgement; then publish a last message and wait until it arrives."""
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
        """Return the seconds until a message sent after the fault arrived; infinity if none has yet."""
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
            lost=account.lost + account.resynced,
            duplicates=account.duplicates,
            reordered=account.reordered,
            resyncs=self._resyncs,
            recovery=self.recovery(broken_at),
            silent_loss=account.lost,
        )


def death_table(rows: Sequence[DeathRow]) -> pd.DataFrame:
    """Return the rows as one table.

    Parameters
    ----------
    rows : sequence of DeathRow
        Rows of any brokers and faults.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``broker``, ``happened`` and ``mode``; columns are the other fields.
    """
    records = [msgspec.structs.asdict(row) for row in rows]
    frame = pd.DataFrame(records, columns=[*DeathRow.__struct_fields__])
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
    parser = argparse.ArgumentParser(prog="python -m rtlab.experiments.cluster.node_death_losses")
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
