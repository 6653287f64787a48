"""What nodes say to each other through a carrier, and how it is written (MessagePack)."""

from __future__ import annotations

from typing import Final

import msgspec

from rtlab.protocol.messages import Message

__all__ = [
    "Ask",
    "Beat",
    "Forward",
    "Handed",
    "Handover",
    "NodeMessage",
    "Out",
    "Reply",
    "Told",
    "Users",
    "decode",
    "encode",
]


class Beat(msgspec.Struct, tag="beat", omit_defaults=True):
    """A node lives.

    Parameters
    ----------
    node, life : str
        Its name, and its process's.
    term : int
        The highest number of an epoch that it knows: the next owner takes a higher one.
    sent : float
        When, on its own clock: it measures its lease by the echo.
    heads : dict of str to (str, int)
        Epoch and offset of rooms that it owns: who has less has missed something.
    hello, bye : bool
        It wants to know everything; it stops.
    door : int
        The port of its `LifeLines`; 0 for none.
    """

    node: str
    life: str
    term: int
    sent: float
    heads: dict[str, tuple[str, int]] = {}
    hello: bool = False
    bye: bool = False
    door: int = 0


class Out(msgspec.Struct, tag="out"):
    """A published message, from the room's owner to all; it has its room, epoch and offset."""

    message: Message


class Users(msgspec.Struct, tag="users"):
    """Who is in a room at one node; with `ask`, the others say the same of theirs."""

    node: str
    room: str
    users: list[str]
    ask: bool = False


class Forward(msgspec.Struct, tag="forward"):
    """A message for the owner to publish, and whom to answer under which number."""

    node: str
    number: int
    room: str
    message: Message


class Reply(msgspec.Struct, tag="reply", omit_defaults=True):
    """What became of a `Forward`: its place; or an error; or neither, then it is to be tried again."""

    number: int
    epoch: str | None = None
    offset: int = 0
    error: str | None = None


class Ask(msgspec.Struct, tag="ask"):
    """Where does this room stand, and what came after the place that this node has?"""

    node: str
    room: str
    epoch: str
    offset: int


class Told(msgspec.Struct, tag="told"):
    """The owner's answer to a node's `Ask`: the room's place, and the newest messages up to it, oldest first.

    All nodes are sent it, so it comes after all that was published before: the node that asked may need that.
    """

    node: str
    room: str
    epoch: str
    offset: int
    messages: list[Message]


class Handover(msgspec.Struct, tag="handover"):
    """A room whose owner is another node now, which goes on where this one ends: to all.

    Parameters
    ----------
    node, room : str
        The former owner, and the room.
    epoch, offset : str and int
        Its last number; all up to it have come back from the carrier.
    messages : list of Message
        The newest, up to that one, oldest first.
    """

    node: str
    room: str
    epoch: str
    offset: int
    messages: list[Message]


class Handed(msgspec.Struct, tag="handed"):
    """A node has handed over all that is not its own any more, as far as it knows these processes."""

    node: str
    lives: list[str]


NodeMessage = Beat | Out | Users | Forward | Reply | Ask | Told | Handover | Handed

_DECODER: Final[msgspec.msgpack.Decoder[NodeMessage]] = msgspec.msgpack.Decoder(NodeMessage)
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode(message: NodeMessage) -> bytes:
    """Write what one node says to another."""
    return _ENCODER.encode(message)


def decode(body: bytes) -> NodeMessage | None:
    """Read it; None for anything else."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
