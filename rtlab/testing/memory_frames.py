"""What travels between a mock and its peer: messages as they are, all else as one of these."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from websockets.frames import Close

__all__ = ["Ended", "Item", "Link", "MakeLink", "Ping", "Pong", "Request", "Response"]


class Request(NamedTuple):
    """A handshake: the URL and the subprotocols that it offers."""

    url: str
    protocols: tuple[str, ...] = ()


class Response(NamedTuple):
    """Its answer. Status 101 agrees, 0 means that nobody listens."""

    status: int
    subprotocol: str | None = None
    retry_after: float | None = None


class Ping(NamedTuple):
    """A ping frame."""

    data: bytes


class Pong(NamedTuple):
    """A pong frame."""

    data: bytes


class Ended(enum.Enum):
    """The end of the connection below the WebSocket."""

    FIN = "the connection ended"
    RESET = "the connection was reset"
    PROTOCOL = "the peer broke the protocol"


Item: TypeAlias = str | bytes | Request | Response | Ping | Pong | Close | Ended


class Link(Protocol):
    """A way between the two that is not simply a call: slow, lossy, or made of bytes."""

    def up(self, item: Item) -> None:
        """Carry from the client to the peer."""
        ...

    def down(self, item: Item) -> None:
        """Carry from the peer to the client."""
        ...

    def cut(self) -> None:
        """Carry nothing more."""
        ...


#: Makes the `Link` of one connection: its number, then who gets what goes up, and down.
MakeLink: TypeAlias = Callable[[int, Callable[[Item], None], Callable[[Item], None]], Link]
