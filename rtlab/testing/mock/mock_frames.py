"""Frames in memory: what a mock and its peer exchange besides messages, which are str or bytes."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from websockets.frames import Close

__all__ = ["ConnectionEnd", "Item", "MakeLink", "MemoryLink", "PingFrame", "PongFrame", "Request", "Response"]


class Request(NamedTuple):
    """A handshake: the URL and the subprotocols that it offers."""

    url: str
    protocols: tuple[str, ...] = ()


class Response(NamedTuple):
    """The answer to a handshake. Status 101 accepts it; 0 means that nothing listens on the port."""

    status: int
    subprotocol: str | None = None
    retry_after: float | None = None


class PingFrame(NamedTuple):
    """A ping frame."""

    data: bytes


class PongFrame(NamedTuple):
    """A pong frame."""

    data: bytes


class ConnectionEnd(enum.Enum):
    """The end of the connection below the WebSocket."""

    FIN = "the connection ended"
    RESET = "the connection was reset"
    PROTOCOL = "the peer broke the protocol"


Item: TypeAlias = str | bytes | Request | Response | PingFrame | PongFrame | Close | ConnectionEnd


class MemoryLink(Protocol):
    """The path between a client and its peer, where it is more than a call: slow, lossy, or made of bytes."""

    def up(self, item: Item) -> None:
        """Carry an item from the client to the peer."""
        ...

    def down(self, item: Item) -> None:
        """Carry an item from the peer to the client."""
        ...

    def cut(self) -> None:
        """Deliver nothing more."""
        ...


#: Makes the `MemoryLink` of one connection, from its number, the peer's receiver and the client's receiver.
MakeLink: TypeAlias = Callable[[int, Callable[[Item], None], Callable[[Item], None]], MemoryLink]
