"""A server without sockets that handles each numbered message once."""

from __future__ import annotations

import asyncio

from rtlab.client.connection import Connection
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import welcome


class Server:
    """Handles each seq once, as ours does; `refuse` and `admits` say what it refuses."""

    def __init__(self) -> None:
        self.handled: list[object] = []
        self.frames: list[list[dict]] = []
        self.last = 0
        self.silent = False
        self.join_delay = 0.0
        self.refuse = lambda item: None
        self.rooms: set[str] = set()
        self.admits = lambda room_id: True
        self.openings: list[dict] = []

    def transport(self):
        box = {}

        def take(message):
            if message.type == "join_room":
                ack = self.join(message)
                asyncio.get_running_loop().call_later(self.join_delay, box["t"].push, ack)
            if message.type == "leave_room":
                self.rooms.discard(message.payload["roomId"])
                box["t"].push(Message("ack", {}, id=message.id))
            if message.type != "batch" or self.silent:
                return
            self.frames.append(message.payload)
            results = [self.item(item) for item in message.payload]
            box["t"].push(Message("ack", {"results": results}, id=message.id))

        box["t"] = MemoryTransport(welcome=welcome(limit=100_000), on_send=take)
        return box["t"]

    def join(self, message):
        room_id = message.payload["roomId"]
        if not self.admits(room_id):
            return Message("error", {"code": "forbidden", "message": "not this room"}, id=message.id)
        self.rooms.add(room_id)
        return Message("ack", {"epoch": "e", "offset": 0}, id=message.id)

    def item(self, item):
        if item["type"] == "outbox":
            self.openings.append(item["payload"])
            self.last = max(self.last, item["payload"]["base"] - 1)
            return {"ok": True, "incarnation": len(self.openings)}
        code = self.refuse(item)
        if code is not None:
            self.last = item["seq"]
            return {"ok": False, "error": {"code": code, "message": code}}
        if item["seq"] > self.last + 1:
            return {"ok": False, "error": {"code": "gap", "message": "gap", "expected": self.last + 1}}
        if item["seq"] == self.last + 1:
            self.last += 1
            self.handled.append(item["payload"])
        return {"ok": True, "id": item["id"]}

    def connection(self, **options):
        conn = Connection(lambda: self.transport(), backoff=Constant(0.0, min_uptime=0.0), **options)
        conn.on("error", lambda event: None)
        return conn
