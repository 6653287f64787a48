"""One message's way: client, node, broker, the room's owner, broker, node, client, and its stamps.

The clients note their own; what passes the broker is heard there by a listener of our own, beside
the nodes. All clocks are this machine's one monotonic clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.processes.tasks import together
from rtlab.server.brokers.carrier_for import carrier_for
from rtlab.server.brokers.carrying.carrier import Carried
from rtlab.server.brokers.carrying.subjects import namespace_of
from rtlab.server.brokers.cluster.node_link import ALL, address_of
from rtlab.server.brokers.cluster.node_messages import Forward, Out, Reply, decode

__all__ = ["MessageWay", "follow_messages"]

_TIMEOUT: Final = 20.0


class MessageWay(msgspec.Struct, frozen=True):
    """The stamps of one message, seconds since its publisher called ``send``.

    Parameters
    ----------
    forward : float or None
        The publisher's node had given it to the broker, for the room's owner; None where
        that node is the owner.
    out : float
        The owner had numbered it, and given it to the broker for all.
    came : float
        The reader, at another node, had it.
    reply : float or None
        The owner had heard it come back, and its answer was at the broker.
    ack : float
        The publisher had the answer.
    """

    forward: float | None
    out: float
    came: float
    reply: float | None
    ack: float


async def follow_messages(
    ws_urls: Sequence[str],
    broker_url: str,
    token: str,
    rooms: Sequence[str],
    *,
    count: int = 50,
    pause: float = 0.01,
) -> list[list[MessageWay]]:
    """Publish at the first node, read at the second, and listen at the broker.

    Parameters
    ----------
    ws_urls : sequence of str
        Of the nodes.
    broker_url : str
        What they share.
    token : str
        The lab's: names its subjects there.
    rooms : sequence of str
        Where, in turns: what disturbs one disturbs all.
    count : int
        Messages in each, each sent when the one before was acknowledged.
    pause : float
        Seconds between them.

    Returns
    -------
    list of list of MessageWay
        Of each room.

    Raises
    ------
    LabError
        When a message did not arrive, or was not seen at the broker.
    """
    total = count * len(rooms)
    seen = _Seen()
    carrier = carrier_for(broker_url, namespace=namespace_of(token))
    publisher, reader = WebSocketConnection(ws_urls[0]), WebSocketConnection(ws_urls[1])
    sent: dict[int, float] = {}
    acked: dict[int, float] = {}
    came: dict[int, float] = {}
    reader.on("way", lambda message: came.setdefault(message.payload, time.monotonic()))
    await carrier.open()
    try:
        for subject in (ALL, *(address_of(f"node-{n + 1}") for n in range(len(ws_urls)))):
            await carrier.subscribe(subject, seen.hear)
        async with asyncio.timeout(_TIMEOUT), publisher, reader:
            await together(*(conn.join_room(room) for room in rooms for conn in (publisher, reader)))
            for n in range(total):
                sent[n] = time.monotonic()
                await publisher.request("way", n, room_id=rooms[n % len(rooms)])
                acked[n] = time.monotonic()
                await asyncio.sleep(pause)
            while min(len(came), len(seen.out)) < total or len(seen.reply) < len(seen.forward):
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise LabError(
            f"expected {total} messages, {len(came)} came and {len(seen.out)} passed the broker: "
            "run this cell again"
        ) from None
    finally:
        await carrier.close()

    def way(n: int) -> MessageWay:
        # Our listener may be late, but what it notes was there before the effects that are noted already.
        reply = min(seen.reply[n], acked[n]) if n in seen.reply else None
        out = min(seen.out[n], came[n], acked[n] if reply is None else reply)
        forward = min(seen.forward[n], out) if n in seen.forward else None
        start = sent[n]
        return MessageWay(
            None if forward is None else forward - start,
            out - start,
            came[n] - start,
            None if reply is None else reply - start,
            acked[n] - start,
        )

    return [[way(n) for n in range(first, total, len(rooms))] for first in range(len(rooms))]


class _Seen:
    """When which message passed the broker."""

    def __init__(self) -> None:
        self.forward: dict[int, float] = {}
        self.out: dict[int, float] = {}
        self.reply: dict[int, float] = {}
        self._asked: dict[int, int] = {}

    def hear(self, carried: Carried) -> None:
        now = time.monotonic()
        match decode(carried.body):
            case Forward(number=number, message=message) if message.type == "way":
                self._note(self.forward, message.payload, now)
                self._asked[number] = message.payload
            case Out(message=message) if message.type == "way":
                self._note(self.out, message.payload, now)
            case Reply(number=number) if number in self._asked:
                self._note(self.reply, self._asked[number], now)
            case _:
                pass

    @staticmethod
    def _note(stamps: dict[int, float], number: Any, now: float) -> None:
        stamps.setdefault(number, now)
