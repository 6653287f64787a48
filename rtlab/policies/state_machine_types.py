"""The types of the state machine of a connection: states, events that change them, actions that follow."""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = [
    "CancelTimer",
    "Close",
    "Connect",
    "ConnectionAction",
    "ConnectionEvent",
    "Discard",
    "Failed",
    "GiveUp",
    "Lost",
    "Open",
    "Opened",
    "ReconnectNow",
    "Schedule",
    "Shut",
    "State",
    "TellConnected",
    "TellDisconnected",
    "TimerFired",
]


class State(Enum):
    """The states of a connection."""

    DISCONNECTED = "Disconnected"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    RECONNECTING = "Reconnecting"
    CLOSED = "Closed"


# Events: what happened


class Connect(msgspec.Struct, frozen=True):
    """The owner asked for a connection."""


class Opened(msgspec.Struct, frozen=True):
    """The transport of this generation is usable."""

    generation: int


class Failed(msgspec.Struct, frozen=True):
    """The attempt of this generation failed.

    ``retry_after`` is the server's hint in seconds, if it gave one. ``made`` is False if a
    circuit breaker held the attempt back.
    """

    generation: int
    reason: str = ""
    retryable: bool = True
    retry_after: float | None = None
    made: bool = True


class Lost(msgspec.Struct, frozen=True):
    """The open transport of this generation ended.

    ``reconnect`` is whether the close code allows another attempt; ``reconnection_time`` is
    the value of an event stream's ``retry:`` field in seconds, if any.
    """

    generation: int
    code: int = 1006
    reason: str = ""
    clean: bool = False
    reconnect: bool = True
    retry_after: float | None = None
    reconnection_time: float | None = None


class TimerFired(msgspec.Struct, frozen=True):
    """The delay before the attempt of this generation is over."""

    generation: int


class ReconnectNow(msgspec.Struct, frozen=True):
    """The owner wants the next attempt at once, for example because the network is back."""


class Close(msgspec.Struct, frozen=True):
    """The owner closes the connection for good."""


ConnectionEvent = Connect | Opened | Failed | Lost | TimerFired | ReconnectNow | Close


# Actions: what the I/O layer does next


class Open(msgspec.Struct, frozen=True):
    """Start the attempt of this generation."""

    generation: int


class Schedule(msgspec.Struct, frozen=True):
    """Start the retry timer: ``delay`` seconds until retry number ``attempt``, counted from 1."""

    generation: int
    delay: float
    attempt: int
    reason: str


class CancelTimer(msgspec.Struct, frozen=True):
    """Stop the retry timer."""


class Discard(msgspec.Struct, frozen=True):
    """Abort the attempt of this generation."""

    generation: int


class Shut(msgspec.Struct, frozen=True):
    """Close the open transport of this generation in an orderly way."""

    generation: int


class TellConnected(msgspec.Struct, frozen=True):
    """Announce that the connection is open; ``attempt`` is the number of the retry, 0 for a first connect."""

    attempt: int


class TellDisconnected(msgspec.Struct, frozen=True):
    """Announce that an open connection has ended."""

    code: int
    reason: str
    clean: bool
    will_reconnect: bool


class GiveUp(msgspec.Struct, frozen=True):
    """Tell waiting callers that no further attempt will be made."""

    reason: str


ConnectionAction = Open | Schedule | CancelTimer | Discard | Shut | TellConnected | TellDisconnected | GiveUp
