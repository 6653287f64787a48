"""The two ends of the delivery proof: sending stamped messages, and noting those that arrive."""

from __future__ import annotations

import asyncio
from typing import Protocol

from rtlab.client.connection import Connection
from rtlab.client.delivery.receipt import Receipt
from rtlab.client.delivery.retransmission import DeliveryMode
from rtlab.client.event_emitter import Resync
from rtlab.errors import NotConnected, RequestRefused
from rtlab.measure.ledger_message_stamp import MessageIdentity
from rtlab.protocol.message_format import Message

__all__ = ["ROOM", "Notes", "back_in_room", "follow", "send"]

ROOM = "proof"
#: Timeout of an acknowledgement, in seconds; long, because a series of faults can hold a message up.
ACKED_WITHIN = 300.0


class Notes(Protocol):
    """Takes note of what both ends saw: a `Ledger`, or records that are entered in one later."""

    def stamp(self, sender: str) -> MessageIdentity: ...
    def ok(self, stamp: MessageIdentity) -> None: ...
    def failed(self, stamp: MessageIdentity) -> None: ...
    def watch(self, receiver: str) -> None: ...
    def arrived(self, receiver: str, stamp: MessageIdentity) -> None: ...
    def resync(self, receiver: str) -> None: ...


def follow(notes: Notes, conn: Connection, name: str, room: str = ROOM) -> None:
    """Note every stamped message of others that a connection delivers in a room, and each resync of it."""
    notes.watch(name)

    def arrived(message: Message) -> None:
        if message.room_id == room and message.payload[0] != name:
            notes.arrived(name, MessageIdentity(*message.payload))

    def resync(event: Resync) -> None:
        if event.room_id == room:
            notes.resync(name)

    conn.on("stamped", arrived)
    conn.on("resync", resync)
    conn.on("error", lambda event: None)


async def send(
    notes: Notes,
    conn: Connection,
    name: str,
    mode: DeliveryMode,
    count: int,
    room: str = ROOM,
    *,
    together: int = 4,
) -> None:
    """Send stamped messages, with a pause of 10 ms after every `together`, and note each one's outcome."""
    waiting: list[tuple[MessageIdentity, Receipt]] = []
    for n in range(count):
        stamp = notes.stamp(name)
        try:
            receipt = await conn.send("stamped", list(stamp), room_id=room, delivery=mode)
        except NotConnected as error:
            if "expected a connection" in str(error):
                notes.failed(stamp)  # it was never written
        else:
            if mode == "at_most_once":
                notes.ok(stamp)  # at most once: sent counts as delivered
            else:
                waiting.append((stamp, receipt))
        if n % together == together - 1:
            await asyncio.sleep(0.01)
    for stamp, receipt in waiting:
        await receipt.acked(ACKED_WITHIN)
        notes.ok(stamp)


async def back_in_room(conn: Connection, room: str, timeout: float = 60.0) -> None:
    """Join a room, again and again until the server confirms it."""
    async with asyncio.timeout(timeout):
        while True:
            try:
                await conn.join_room(room)
                return
            except (NotConnected, RequestRefused, TimeoutError):
                await asyncio.sleep(0.02)
