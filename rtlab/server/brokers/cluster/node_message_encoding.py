"""The messages that nodes exchange through a carrier, and their encoding (MessagePack)."""

from __future__ import annotations

from typing import Final

import msgspec

from rtlab.protocol.message_format import Message

__all__ = [
    "AskHistory",
    "Forward",
    "Handed",
    "NodeBeat",
    "NodeMessage",
    "Out",
    "Reply",
    "RoomHandover",
    "RoomUsers",
    "Told",
    "decode",
    "encode",
]


class NodeBeat(msgspec.Struct, tag="beat", omit_defaults=True):
    """A node's heartbeat, to all nodes.

    Parameters
    ----------
    node, life : str
        The name of the node, and of its process.
    term : int
        The highest term of an epoch that the node knows; the next epoch gets a higher one.
    sent : float
        When it was sent, on the sender's clock: the sender's lease is measured from then.
    heads : dict of str to (str, int)
        Epoch and offset of rooms that the node owns; a node that is behind has missed messages.
    hello, bye : bool
        Whether the node asks for the others' state; whether it stops.
    door : int
        The port of the node's `LifeLines`; 0 for none.
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
    """A published message, from the room's owner to all nodes; room, epoch and offset are set."""

    message: Message


class RoomUsers(msgspec.Struct, tag="users"):
    """The users in a room at one node.

    Parameters
    ----------
    node, life : str
        The name of the node, and of its process.
    room : str
        The room.
    users : list of str
        Its users at that node.
    ask : bool
        Whether the other nodes answer with theirs.
    """

    node: str
    life: str
    room: str
    users: list[str]
    ask: bool = False


class Forward(msgspec.Struct, tag="forward"):
    """A message for the room's owner to publish; the owner answers `node` by a `Reply` with `number`."""

    node: str
    number: int
    room: str
    message: Message


class Reply(msgspec.Struct, tag="reply", omit_defaults=True):
    """The answer to a `Forward`: epoch and offset, or an error; with neither, the sender tries again."""

    number: int
    epoch: str | None = None
    offset: int = 0
    error: str | None = None


class AskHistory(msgspec.Struct, tag="ask"):
    """A question to a room's owner: what are its epoch and offset, and what came after this offset?"""

    node: str
    room: str
    epoch: str
    offset: int


class Told(msgspec.Struct, tag="told"):
    """The owner's answer to an `AskHistory`: the room's epoch, offset and newest messages, oldest first.

    It is sent to all nodes, as messages are, so that it arrives after everything published before it.
    """

    node: str
    room: str
    epoch: str
    offset: int
    messages: list[Message]


class RoomHandover(msgspec.Struct, tag="handover"):
    """Sent to all nodes by a room's former owner: the new owner continues its numbering from here.

    Parameters
    ----------
    node, room : str
        The former owner, and the room.
    epoch, offset : str and int
        The last message's place; all messages up to it have come back from the carrier.
    messages : list of Message
        The newest messages up to that place, oldest first.
    """

    node: str
    room: str
    epoch: str
    offset: int
    messages: list[Message]


class Handed(msgspec.Struct, tag="handed"):
    """A node has handed over all rooms that it no longer owns; `lives` are the processes it knows of."""

    node: str
    lives: list[str]


NodeMessage = NodeBeat | Out | RoomUsers | Forward | Reply | AskHistory | Told | RoomHandover | Handed

_DECODER: Final[msgspec.msgpack.Decoder[NodeMessage]] = msgspec.msgpack.Decoder(NodeMessage)
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode(message: NodeMessage) -> bytes:
    """Encode a message to other nodes."""
    return _ENCODER.encode(message)


def decode(body: bytes) -> NodeMessage | None:
    """Decode a message of another node; return None for anything else."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
