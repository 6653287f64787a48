"""Slow consumers in one stall, each in a room with its own overflow policy: backlog, age, and losses.

Each policy has a room, a publisher that sends on a schedule, and a consumer behind the fault proxy that
takes some time for each message. One fault script stalls all consumers at the same moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.faults.seeded_fault_timeline import FaultScript
from rtlab.measure.delivery_ledger import Anomalies, Ledger, MessageIdentity
from rtlab.policies.backoff import Constant
from rtlab.processes.owned_tasks import together, until_stopped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.lab.lab import Lab
    from rtlab.measure.recorder import Recorder
    from rtlab.protocol.message_format import Message

__all__ = ["PolicyRun", "stall_consumers"]

#: Number of different keys in the messages; `conflate` keeps the latest message of each key.
KEYS: Final = 5

#: Buffer size of the proxy's sockets. Much smaller buffers than a loopback segment (64 KiB) would slow TCP
#: itself down, because it waits until the receive window is worth a segment.
BUFFER_BYTES: Final = 32_768

#: Seconds between two queries of the server's backlog.
_LOOK: Final = 0.04

#: Seconds of timer lateness to make up for: the machine causes this delay, not the consumer.
_LATE: Final = 0.02

#: Seconds that consumers are given to finish after the last message is due; also the request timeout.
_PATIENCE: Final = 15.0


class PolicyRun(NamedTuple):
    """The result of one room. Times are in seconds since the run began.

    Parameters
    ----------
    policy : str
        The room's overflow policy.
    stall : (float, float)
        Begin and end of the stall, during which nothing reached the consumers.
    due, published : array of shape (messages,)
        When each message was due to be published, and when the server's acknowledgement arrived.
    came : array of shape (arrivals, 2)
        Number of each message that the consumer took, and when.
    others : array of shape (arrivals, 2)
        The same for the publisher, which is also a member of the room and is never stalled.
    skipped : tuple of (int, int)
        First and last number of each range of messages that the server announced as dropped.
    waiting : array of shape (looks, 2)
        When the server was queried, and how many messages it had queued for the consumer.
    account : Anomalies
        The ledger's account of the messages that the consumer received.
    connects : int
        Number of times that the consumer connected.
    """

    policy: str
    stall: tuple[float, float]
    due: NDArray[np.float64]
    published: NDArray[np.float64]
    came: NDArray[np.float64]
    others: NDArray[np.float64]
    skipped: tuple[tuple[int, int], ...]
    waiting: NDArray[np.float64]
    account: Anomalies
    connects: int

    def __repr__(self) -> str:
        return f"<PolicyRun: {self.policy}, {self.account.received} of {self.account.sent} came>"

    @property
    def numbers(self) -> list[int]:
        """Numbers of all messages that arrived or were announced as dropped, in the consumer's order."""
        known = [(float(first), n) for first, last in self.skipped for n in range(first, last + 1)]
        return [int(n) for _, n in sorted([*known, *((n, n) for n in self.came[:, 0])])]

    @property
    def most_waiting(self) -> int:
        """Longest backlog that was seen in the server, in messages."""
        return int(self.waiting[:, 1].max(initial=0))

    def age(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the age in seconds of the newest message that the consumer has, at each moment `at`."""
        newest = np.maximum.accumulate(self.due[self.came[:, 0].astype(int)])
        place = np.searchsorted(self.came[:, 1], at, side="right") - 1
        return np.where(place >= 0, at - newest[np.maximum(place, 0)], np.nan)

    def fresh_again(self, limit: float = 0.1) -> float:
        """Return the seconds after the stall until the newest message is younger than `limit`, or ``inf``."""
        at = np.arange(self.stall[1], self.due[-1], 0.005)
        young = np.flatnonzero(self.age(at) < limit)
        return float(0.005 * young[0]) if len(young) else np.inf

    @property
    def others_delay(self) -> NDArray[np.float64]:
        """Seconds from each message's due time until the publisher, as a room member, received it."""
        return self.others[:, 1] - self.due[self.others[:, 0].astype(int)]


class _Room:
    """One room with its publisher and consumer, and what both recorded."""

    def __init__(self, policy: str, room: str, lab: Lab, service: float, recorder: Recorder | None) -> None:
        self.policy, self.room = policy, room
        self.publisher = WebSocketConnection(lab.ws_url, heartbeat=None, request_timeout=_PATIENCE)
        self.consumer = WebSocketConnection(
            lab.faults.ws_url, heartbeat=None, max_queue=1, backoff=Constant(0.05)
        )
        self.ledger = Ledger()
        self.base = self.known = 0
        self.published: list[float] = []
        self.came: list[tuple[int, float]] = []
        self.others: list[tuple[int, float]] = []
        self.skipped: list[tuple[int, int]] = []
        self.gone: list[str] = []
        self.waiting: list[tuple[float, int]] = []
        self._service = service
        self._recorder = recorder

    async def enter(self, stack: AsyncExitStack) -> None:
        for conn in (self.publisher, self.consumer):
            await stack.enter_async_context(conn)
        self.base = (await self.publisher.join_room(self.room)).payload["offset"]
        await self.consumer.join_room(self.room)
        self.publisher.on(
            "tick", lambda message: self.others.append((message.payload["n"], time.monotonic()))
        )
        self.ledger.watch("consumer")
        self.consumer.on("resync", lambda event: self.gone.append(event.reason))

    async def publish(self, began: float, due: NDArray[np.float64], pad: str) -> None:
        """Publish on schedule; if an acknowledgement is late, continue as soon as it arrives."""
        for n, at in enumerate(due):
            await asyncio.sleep(began + at - time.monotonic())
            stamp = self.ledger.stamp("publisher")
            payload = {"n": n, "key": n % KEYS, "pad": pad}
            await self.publisher.request("tick", payload, room_id=self.room)
            self.ledger.ok(stamp)
            self.published.append(time.monotonic())

    async def consume(self, began: float, due: NDArray[np.float64]) -> None:
        """Take messages at the service rate until each one has arrived or was announced as dropped."""
        free = 0.0
        async for message in self.consumer:
            now = time.monotonic()
            if self.gone:
                raise LabError(
                    f"expected the consumer under {self.policy} to resume, got: {self.gone[0]}: "
                    "start the lab with larger backlog_bytes and history_bytes"
                )
            if message.type == "skipped":
                self._skip(message)
            elif message.type == "tick":
                n = message.payload["n"]
                self.came.append((n, now))
                self.ledger.arrived("consumer", MessageIdentity("publisher", n))
                self.known += 1
                if self._recorder is not None:
                    self._recorder.record(self.policy, began + float(due[n]), message.sent or np.nan)
                free = max(now - _LATE, free) + self._service
                await asyncio.sleep(free - time.monotonic())
            if self.known >= len(due):
                return

    def _skip(self, message: Message) -> None:
        first, last = (message.payload[end] - self.base - 1 for end in ("from", "to"))
        self.skipped.append((first, last))
        self.known += last + 1 - first
        self.ledger.dropped("consumer", "publisher", range(first, last + 1))

    def result(self, began: float, due: NDArray[np.float64], stall: tuple[float, float]) -> PolicyRun:
        def pairs(seen: list[tuple[int, float]]) -> NDArray[np.float64]:
            return np.array([(n, at - began) for n, at in seen], float).reshape(-1, 2)

        return PolicyRun(
            self.policy,
            stall,
            due,
            np.array(self.published) - began,
            pairs(self.came),
            pairs(self.others),
            tuple(self.skipped),
            np.array([(at - began, count) for at, count in self.waiting], float).reshape(-1, 2),
            self.ledger.account("consumer", "publisher"),
            self.consumer.stats.connects,
        )


async def stall_consumers(
    lab: Lab,
    rooms: Mapping[str, str],
    *,
    rate: float = 50,
    seconds: float = 2.8,
    begin: float = 0.3,
    stall: float = 1.2,
    service: float = 0.006,
    size: int = 10_000,
    recorder: Recorder | None = None,
    stopped: asyncio.Event | None = None,
) -> dict[str, PolicyRun]:
    """Stall the consumers of several rooms once, and record how each room's overflow policy handles it.

    Parameters
    ----------
    lab : Lab
        A lab with a fault proxy and an overflow policy for each room. The proxy is restarted with small
        socket buffers, because megabytes could wait unseen in buffers of the system's default size.
    rooms : mapping of str to str
        Overflow policy → room.
    rate : float
        Messages per second in each room.
    seconds, begin, stall : float
        Duration of publishing, begin of the stall, and duration of the stall, in seconds.
    service : float
        Seconds that a consumer takes for each message.
    size : int
        Approximate size of each message in bytes.
    recorder : Recorder, optional
        Receives a sample for each message that a consumer takes, with one series per policy.
    stopped : asyncio.Event, optional
        Setting this event ends the run early.

    Returns
    -------
    dict of str to PolicyRun
        Overflow policy → result; empty if the run was stopped.

    Raises
    ------
    ValueError
        When the stall does not lie within `seconds`.
    LabError
        When a message neither arrived nor was announced as dropped, or a disconnected consumer could not
        resume.
    """
    if not 0 < begin < begin + stall < seconds:
        raise ValueError(f"expected 0 < begin < begin + stall < seconds, got {begin}, {stall} and {seconds}")
    if recorder is not None:
        for policy in rooms:
            recorder.add_series(policy)
    due = np.arange(round(rate * seconds)) / rate
    await lab.faults.start(buffer_bytes=BUFFER_BYTES)
    script = FaultScript(name="one stall").add(begin, "stall", lasting=stall)

    async def run() -> dict[str, PolicyRun]:
        members = [_Room(policy, room, lab, service, recorder) for policy, room in rooms.items()]
        async with AsyncExitStack() as stack:
            for member in members:
                await member.enter(stack)
            began = time.monotonic() + 0.05
            await asyncio.sleep(0.05)
            await lab.faults.play(script)
            here = time.monotonic() - began + begin
            looking = asyncio.create_task(_look(lab, members))
            try:
                async with asyncio.timeout(seconds + _PATIENCE):
                    await together(
                        *(member.publish(began, due, "x" * size) for member in members),
                        *(member.consume(began, due) for member in members),
                    )
            except TimeoutError as error:
                known = {member.policy: member.known for member in members}
                raise LabError(
                    f"expected {len(due)} messages to come or to be announced in each room, got {known}: "
                    "`await lab.faults.restore()`, and run it again"
                ) from error
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
            return {member.policy: member.result(began, due, (here, here + stall)) for member in members}

    try:
        return await until_stopped(run(), stopped) or {}
    finally:
        await lab.faults.stop_script()
        await lab.faults.restore()


async def _look(lab: Lab, members: list[_Room]) -> None:
    """Record the server's backlog for each consumer at regular intervals."""
    while True:
        now = time.monotonic()
        waiting = {row["client"]: row["messages"] for row in (await lab.stats())["slowest"]}
        for member in members:
            member.waiting.append((now, waiting.get(member.consumer.client_id, 0)))
        await asyncio.sleep(_LOOK)
