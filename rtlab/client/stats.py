"""A frozen snapshot of what a connection has done."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rtlab.client.driver import Driver
from rtlab.client.message_dispatch import Inbox
from rtlab.client.message_sender import Outbox
from rtlab.policies.states_and_events import State

__all__ = ["ConnectionStats", "RoomPlace", "read_stats"]


class RoomPlace(NamedTuple):
    """The last message of a room that came.

    Parameters
    ----------
    epoch : str or None
        Which history; None until the server has told.
    offset : int
        Its number in it.
    """

    epoch: str | None
    offset: int


class ConnectionStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a connection.

    Parameters
    ----------
    state : str
        The state's name.
    transport : str
        The transport in use, empty when none is.
    attempts : int
        Attempts to connect so far.
    connects, disconnects : int
        Connections opened and lost.
    uptime : float
        Seconds since the present connection opened, 0 without one.
    connect_time : float or None
        Seconds that the last connect took.
    rtt : float or None
        The last round trip in seconds, if one was measured.
    rtt_smoothed : float or None
        Its moving average over heartbeats (RFC 6298), if there are any.
    messages_in, messages_out : int
        Messages delivered and sent.
    bytes_in, bytes_out : int
        Their encoded sizes, without framing.
    repeats : int
        Messages dropped because they had been received before.
    queue_depth : int
        Messages that wait for the open iterator.
    dead_letters : int
        Messages that could not be read or sent.
    rooms : dict of str to RoomPlace
        From where each room goes on after a reconnect.
    """

    state: str
    transport: str
    attempts: int
    connects: int
    disconnects: int
    uptime: float
    connect_time: float | None
    rtt: float | None
    rtt_smoothed: float | None
    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int
    repeats: int
    queue_depth: int
    dead_letters: int
    rooms: dict[str, RoomPlace]


def read_stats(driver: Driver, inbox: Inbox, outbox: Outbox, now: float) -> ConnectionStats:
    """Take a snapshot of the parts of a connection, at a time of its clock."""
    stream, transport, opened = inbox.stream, driver.transport, driver.opened
    state = driver.state
    beats = opened.rtt if opened is not None else None
    return ConnectionStats(
        state=state.value,
        transport=transport.name if transport is not None else "",
        attempts=driver.attempts,
        connects=driver.connects,
        disconnects=driver.disconnects,
        uptime=now - driver.life.opened_at if state is State.CONNECTED else 0.0,
        connect_time=opened.connect_time if opened is not None else None,
        rtt=beats.last if beats is not None else outbox.rtt,
        rtt_smoothed=beats.smoothed if beats is not None else None,
        messages_in=inbox.messages_in,
        messages_out=outbox.messages_out,
        bytes_in=driver.bytes_in,
        bytes_out=driver.bytes_out,
        repeats=inbox.repeats,
        queue_depth=stream.queue.qsize() if stream is not None else 0,
        dead_letters=len(inbox.dead_letters),
        rooms={name: RoomPlace(room.epoch, room.received) for name, room in inbox.position.rooms.items()},
    )
