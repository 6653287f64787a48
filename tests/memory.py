"""What tests of connections over transports in memory share."""

from __future__ import annotations

import asyncio

from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport

FAST = Constant(seconds=0.0, min_uptime=0.0)


def welcome(session="s1", *, resumed=False, seq=0, limit=1000):
    payload = {
        "clientId": "me",
        "session": session,
        "resumed": resumed,
        "seq": seq,
        "limits": {"maxMessageBytes": limit},
    }
    return Message("welcome", payload)


class Factory:
    """Hands out prepared transports, in order."""

    def __init__(self, *transports):
        self.made = []
        self.queue = list(transports)

    def __call__(self):
        transport = self.queue.pop(0)
        if callable(transport):
            transport = transport()
        self.made.append(transport)
        return transport


class Calling(MemoryTransport):
    """Offers what arrives, as transports over libraries that call back do."""

    take = None

    def push(self, message):
        waits = self.take is not None and self._arrived.empty() and isinstance(message, Message)
        if not waits or not self.take(message):
            super().push(message)

    async def receive(self, take=None):
        self.take = take
        try:
            return await super().receive()
        finally:
            self.take = None


def names(conn):
    """Return a list that grows by the name of each event of the connection's own."""
    seen = []
    for name in ("connected", "disconnected", "reconnecting", "resync", "error"):
        conn.on(name, lambda event, name=name: seen.append(name))
    return seen


async def until(condition, timeout=10.0):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0)


async def turns(count=20):
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


def leftovers():
    return [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]


def room_server(answers, **kwargs):
    """Return a transport whose other end answers each ``join_room`` with ``answers(payload)``."""
    box = {}

    def answer(message):
        if message.type == "join_room":
            box["t"].push(Message("ack", answers(message.payload), id=message.id))

    box["t"] = MemoryTransport(on_send=answer, **kwargs)
    return box["t"]


def said(offset, epoch="e1"):
    return Message("chat", offset, room_id="r", epoch=epoch, offset=offset)
