"""A queue before a consumer with a constant service time: simulated, and with a real server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError, NotConnected
from rtlab.policies.drop_or_conflate_on_overflow import MessagePlace, OverflowQueue, Skipped, parse_overflow
from rtlab.processes.owned_tasks import together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.lab.lab import Lab
    from rtlab.protocol.message_format import Message

__all__ = ["PlayedQueue", "ServedQueue", "play_overflow", "queue_waits", "serve_poisson"]


class PlayedQueue(NamedTuple):
    """The outcome of a simulated queue.

    Parameters
    ----------
    taken : array of int, shape (messages,)
        Numbers of the messages that the consumer took, in that order.
    age : array of shape (messages,)
        Age of each of them in seconds when the consumer began with it.
    dropped : int
        Number of messages that the overflow policy dropped.
    """

    taken: NDArray[np.int64]
    age: NDArray[np.float64]
    dropped: int

    def __repr__(self) -> str:
        return f"<PlayedQueue: {len(self.taken):,} taken, {self.dropped:,} dropped>"


class ServedQueue(NamedTuple):
    """How long messages from a real server waited in the client's queue.

    Parameters
    ----------
    arrived : array of shape (messages,)
        When each message reached the client, in seconds of ``time.monotonic``.
    waited : array of shape (messages,)
        Seconds from each arrival until the consumer began with the message.
    service : float
        Seconds that the consumer takes for each message.
    """

    arrived: NDArray[np.float64]
    waited: NDArray[np.float64]
    service: float

    @property
    def expected(self) -> NDArray[np.float64]:
        """Wait of each message in an ideal queue with the same arrivals (Lindley's recursion), in seconds."""
        return queue_waits(self.arrived, self.service)

    def __repr__(self) -> str:
        return f"<ServedQueue: {len(self.waited):,} messages>"


def queue_waits(arrivals: NDArray[np.float64], service: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many seconds each message waits for a consumer that handles one at a time.

    This is Lindley's recursion, W ← max(0, W + service − gap), computed with a running minimum.

    Parameters
    ----------
    arrivals : array of shape (messages,)
        Arrival times in seconds, ascending.
    service : float or array of shape (messages,)
        Seconds that the consumer takes for each message.

    Examples
    --------
    >>> queue_waits(np.array([0.0, 1.0, 5.0]), 2.0).tolist()
    [0.0, 1.0, 0.0]
    """
    services = np.broadcast_to(np.asarray(service, float), arrivals.shape)
    work = np.cumsum(services) - services - arrivals
    return work - np.minimum.accumulate(work)


def play_overflow(
    policy: str, arrivals: NDArray[np.float64], service: float, bound: int, *, keys: int = 1
) -> PlayedQueue:
    """Simulate messages passing through the server's own bounded queue, on simulated time.

    Parameters
    ----------
    policy : str
        Overflow policy as in a URL: ``drop_oldest``, ``drop_newest`` or ``conflate:key``.
    arrivals : array of shape (messages,)
        Arrival times in seconds, ascending.
    service : float
        Seconds that the consumer takes for each message.
    bound : int
        Number of messages that may wait in the queue.
    keys : int
        Number of different keys, which the messages have in turn; matters only to ``conflate:key``.

    Returns
    -------
    PlayedQueue

    Examples
    --------
    >>> played = play_overflow("drop_newest", np.arange(6.0), 2.0, bound=1)
    >>> played.taken.tolist(), played.dropped
    ([0, 1, 2, 4], 2)
    """
    rule = parse_overflow(policy)
    queue = OverflowQueue[int](bound, 1 << 60)
    taken: list[int] = []
    age: list[float] = []
    dropped, free = 0, 0.0

    def take(until: float) -> None:
        nonlocal dropped, free
        while free <= until and (item := queue.take()) is not None:
            if isinstance(item, Skipped):
                dropped += item.last + 1 - item.first
                continue
            begin = max(free, float(arrivals[item]))
            taken.append(item)
            age.append(begin - float(arrivals[item]))
            free = begin + service

    for n, at in enumerate(arrivals):
        take(float(at))
        queue.offer(n, 1, MessagePlace("r", "e", n), rule, n % keys if rule.key else None)
        take(float(at))
    take(np.inf)
    return PlayedQueue(np.array(taken), np.array(age), dropped)


async def serve_poisson(
    lab: Lab, times: NDArray[np.float64], service: float, *, stopped: asyncio.Event | None = None
) -> ServedQueue:
    """Publish messages at given moments, to a consumer that takes the same time for each.

    Parameters
    ----------
    lab : Lab
        A running lab.
    times : array of shape (messages,)
        When each message is published, in seconds from the start.
    service : float
        Seconds that the consumer takes for each message.
    stopped : asyncio.Event, optional
        Setting this event ends the publishing early.

    Returns
    -------
    ServedQueue

    Raises
    ------
    LabError
        When the messages do not arrive in time, or a connection is lost.
    """
    room = f"served {time.monotonic_ns()}"
    arrived: list[float] = []
    waited: list[float] = []
    sent = 0

    def came(_message: Message) -> None:
        arrived.append(time.monotonic())

    async def publish(conn: WebSocketConnection) -> None:
        nonlocal sent
        began = time.monotonic()
        for at in times:
            if stopped is not None and stopped.is_set():
                break
            await asyncio.sleep(began + at - time.monotonic())
            await conn.send("tick", sent, room_id=room)
            sent += 1
        await conn.send("end", None, room_id=room)

    async def consume(conn: WebSocketConnection) -> None:
        free = 0.0
        async for message in conn:
            if message.type == "end":
                return
            if message.type == "tick":
                now = time.monotonic()
                waited.append(now - arrived[len(waited)])
                # A late timer prolongs only this message's service; it does not shift all that follow.
                free = max(free, arrived[len(waited) - 1]) + service
                await asyncio.sleep(free - time.monotonic())

    try:
        async with (
            asyncio.timeout(float(times[-1]) + 15),
            WebSocketConnection(lab.ws_url) as one,
            WebSocketConnection(lab.ws_url) as other,
        ):
            await one.join_room(room)
            await other.join_room(room)
            other.on("tick", came)
            await together(consume(other), publish(one))
    except (TimeoutError, NotConnected) as error:
        raise LabError(f"expected {len(times)} messages, got {len(waited)}: see `lab.check()`") from error
    return ServedQueue(np.array(arrived), np.array(waited), service)
