"""``echo``, ``ping``, ``pong``, ``ack`` and ``auth``: messages that concern only their sender."""

from __future__ import annotations

from rtlab.protocol.message_format import Message
from rtlab.server.handlers.handler_interface import Services, field
from rtlab.server.incoming_message import Answer, Incoming

__all__ = ["auth", "confirm", "echo", "ping", "pong"]


def echo(services: Services, incoming: Incoming) -> None:
    """Send the payload back, with the time of the answer as ``sent``."""
    message = incoming.message
    answer = Message("echo", message.payload, id=message.id, ts=message.ts, sent=services.clock())
    services.turns.only_answer()
    incoming.session.send(answer)


def ping(services: Services, incoming: Incoming) -> None:
    """Answer with a ``pong``."""
    services.turns.only_answer()
    incoming.session.send(Message("pong", incoming.message.payload, id=incoming.message.id))


def pong(services: Services, incoming: Incoming) -> None:
    """Do nothing: a pong needs no answer."""


def confirm(services: Services, incoming: Incoming) -> None:
    """Drop acknowledged messages: ``ack {"seq": n}`` says that the client has handled all up to n."""
    seq = field(incoming.message.payload, "seq")
    if isinstance(seq, int) and not isinstance(seq, bool):
        incoming.session.confirm(seq)


def auth(services: Services, incoming: Incoming) -> Answer:
    """Take a new token of the same user on an open connection, or answer that none is needed."""
    if services.renew is None:
        return Answer({"required": False})
    message = incoming.message
    return services.renew(incoming.session, field(message.payload, "token") or message.token)
