"""Handlers of clients' messages: one function for each message type, the same on every transport.

They import rooms, sessions and the interface of brokers, never a transport, a sink or the node.
"""

from __future__ import annotations

from typing import Final

from rtlab.server.handlers.batch import batch
from rtlab.server.handlers.echo_ping_ack_auth import auth, confirm, echo, ping, pong
from rtlab.server.handlers.handler_interface import MessageHandler, Services
from rtlab.server.handlers.join_and_leave_rooms import join_room, leave_room
from rtlab.server.handlers.numbered_outbox import in_sequence, outbox
from rtlab.server.handlers.publish import publish
from rtlab.server.handlers.start_and_stop_feeds import feed

__all__ = ["HANDLERS", "MessageHandler", "Services", "in_sequence", "publish"]

#: Handlers by message type; `publish` handles all other types.
HANDLERS: Final[dict[str, MessageHandler]] = {
    "echo": echo,
    "ping": ping,
    "pong": pong,
    "ack": confirm,
    "auth": auth,
    "join_room": join_room,
    "leave_room": leave_room,
    "feed": feed,
    "batch": batch,
    "outbox": outbox,
}
