"""The path of one message: client, node, broker, the room's owner, broker, node, client, with timestamps.

The clients record their own timestamps. At the broker, this module subscribes beside the nodes and records
when each message passes. All timestamps are read from this machine's one monotonic clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.processes.owned_tasks import together
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.server.brokers.carrying.carrier_interface import Carried
from rtlab.server.brokers.carrying.subject_names import namespace_of
from rtlab.server.brokers.cluster.node_message_encoding import Forward, Out, Reply, decode
from rtlab.server.brokers.cluster.send_to_nodes import ALL, address_of

__all__ = ["MessageWay", "follow_messages"]

_TIMEOUT: Final = 20.0


class MessageWay(msgspec.Struct, frozen=True):
    """The timestamps of one message, in seconds since its publisher sent it.

    Parameters
    ----------
    forward : float or None
        When the broker had the message that the publisher's node forwards to the room's owner; None if
        that node is the owner.
    out : float
        When the broker had the numbered message that the owner sends to all nodes.
    came : float
        When the reader, connected to another node, received the message.
    reply : float or None
        When the broker had the owner's reply to the publisher's node, which the owner sends once its own
        message has come back to it; None if nothing was forwarded.
    ack : float
        When the publisher received the acknowledgement.
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
    """Publish messages at the first node, read them at the second, and record when they pass the broker.

    Parameters
    ----------
    ws_urls : sequence of str
        WebSocket URLs of the nodes, at least two.
    broker_url : str
        URL of the broker that the nodes share.
    token : str
        The lab's token, from which the namespace of its subjects at the broker follows.
    rooms : sequence of str
        Rooms to publish to, in turn, so that a disturbance affects all of them alike.
    count : int
        Messages per room. Each is sent when the one before has been acknowledged.
    pause : float
        Seconds between an acknowledgement and the next message.

    Returns
    -------
    list of list of MessageWay
        For each room, the timestamps of its messages.

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
            # The owner of a room does not change: all of its messages are forwarded, or none.
            while (
                min(len(came), len(seen.out)) < total
                or len(seen.forward) % count
                or len(seen.reply) < len(seen.forward)
            ):
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise LabError(
            f"expected {total} messages, {len(came)} came and {len(seen.out)} passed the broker: "
            "run this cell again"
        ) from None
    finally:
        await carrier.close()

    def way(n: int) -> MessageWay:
        # The subscriber may record a message late: cap its timestamp by that of a later event.
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
    """When each message passed the broker, by message number.

    A broker promises no order between subjects, so a reply may be heard before what it answers.
    """

    def __init__(self) -> None:
        self.forward: dict[int, float] = {}
        self.out: dict[int, float] = {}
        self.reply: dict[int, float] = {}
        self._asked: dict[tuple[str, int], int] = {}
        self._answered: dict[tuple[str, int], float] = {}

    def hear(self, carried: Carried) -> None:
        now = time.monotonic()
        match decode(carried.body):
            case Forward(node=node, number=number, message=message) if message.type == "way":
                self._note(self.forward, message.payload, now)
                question = (address_of(node), number)
                self._asked[question] = message.payload
                if question in self._answered:
                    self._note(self.reply, message.payload, self._answered[question])
            case Out(message=message) if message.type == "way":
                self._note(self.out, message.payload, now)
            case Reply(number=number):
                question = (carried.subject, number)
                self._answered.setdefault(question, now)
                if question in self._asked:
                    self._note(self.reply, self._asked[question], now)
            case _:
                pass

    @staticmethod
    def _note(stamps: dict[int, float], number: Any, now: float) -> None:
        stamps.setdefault(number, now)
