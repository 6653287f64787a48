"""A message that is sent with acknowledgements, until it has its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message

__all__ = ["Parcel"]

Settle = Callable[[dict[str, Any], Exception | None], None]


class Parcel:
    """One message until it has its result.

    Parameters
    ----------
    message : Message or bytes
        The message; every transmission has its id. Bytes are its JSON, decoded only when it is sent.
    size_bytes : int
        The message's size as JSON.
    settle : callable
        Called once, with the result and None, or with an empty result and the error.
    seq : int
        The message's number in the outbox; 0 if messages are not numbered.
    came : float
        When the message was given to `put`, in seconds on the owner's clock.

    Attributes
    ----------
    retries : int
        Refusals and missing answers so far; lost connections do not count.
    faults : int
        Unforeseen errors of frames that began with it.
    sent : bool
        Whether it was put into a frame. From then on the server may have handled it.
    """

    __slots__ = ("came", "done", "faults", "message", "retries", "sent", "seq", "settle", "size_bytes")

    def __init__(
        self, message: Message | bytes, size_bytes: int, settle: Settle, seq: int = 0, came: float = 0.0
    ) -> None:
        self.message = message
        self.size_bytes = size_bytes
        self.settle = settle
        self.seq = seq
        self.came = came
        self.retries = self.faults = 0
        self.done = self.sent = False

    def item(self, stream: str | None) -> dict[str, Any]:
        """Return the message as an item of a batch."""
        message = self.message if isinstance(self.message, Message) else JSON.decode(self.message)
        # Built by hand: the payload is a private copy already, and `to_builtins` would copy it again.
        fields: dict[str, Any] = {"type": message.type, "payload": message.payload, "id": message.id}
        if message.room_id is not None:
            fields["roomId"] = message.room_id
        if message.ts is not None:
            fields["ts"] = message.ts
        if stream is not None:
            fields["seq"], fields["stream"] = self.seq, stream
        return fields
