"""What each message of a client means: one function for each type, the same on every transport.

Imports the rooms, sessions and brokers' interface. Never a transport, a sink or the node.
"""

from __future__ import annotations

from typing import Final

from rtlab.server.handlers.base import Handler, Services
from rtlab.server.handlers.batch import batch
from rtlab.server.handlers.control_messages import auth, confirm, echo, ping, pong
from rtlab.server.handlers.feed import feed
from rtlab.server.handlers.outbox import in_sequence, outbox
from rtlab.server.handlers.publish import publish
from rtlab.server.handlers.rooms import join_room, leave_room

__all__ = ["HANDLERS", "Handler", "Services", "in_sequence", "publish"]

#: By a message's type; `publish` takes the types that are not here.
HANDLERS: Final[dict[str, Handler]] = {
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
