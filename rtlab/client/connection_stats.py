"""A frozen snapshot of what a connection has done."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rtlab.client.message_sender import MessageSender
from rtlab.client.received_message_dispatch import MessageDispatch
from rtlab.client.transition_action_runner import StateMachineRunner
from rtlab.policies.state_machine_types import State

__all__ = ["ConnectionStats", "RoomPlace", "read_stats"]


class RoomPlace(NamedTuple):
    """The position of the last message that was received in a room.

    Parameters
    ----------
    epoch : str or None
        The name of the room's history; None until the server has told it.
    offset : int
        The message's offset in that history.
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
        The name of the open transport; empty without one.
    attempts : int
        Attempts to connect so far.
    connects, disconnects : int
        Connections opened and lost.
    uptime : float
        Seconds since the present connection opened; 0 without one.
    connect_time : float or None
        Seconds that the newest successful attempt took; None before the first.
    rtt : float or None
        The last measured round trip in seconds; None before the first measurement.
    rtt_smoothed : float or None
        The smoothed round-trip time over heartbeats in seconds (RFC 6298); None without heartbeats.
    messages_in, messages_out : int
        Messages delivered and sent so far.
    bytes_in, bytes_out : int
        Encoded bytes received and sent so far, without framing.
    repeats : int
        Messages dropped because they had been received before.
    queue_depth : int
        Messages that wait for the open iterator.
    dead_letters : int
        Refused messages that are kept: they could not be decoded or sent.
    rooms : dict of str to RoomPlace
        For each room, the position after which it resumes on a reconnect.
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


def read_stats(
    runner: StateMachineRunner, dispatch: MessageDispatch, sender: MessageSender, now: float
) -> ConnectionStats:
    """Take a snapshot of a connection's parts at the time `now`, in seconds on its clock."""
    stream, transport, opened = dispatch.stream, runner.transport, runner.opened
    state = runner.state
    beats = opened.rtt if opened is not None else None
    return ConnectionStats(
        state=state.value,
        transport=transport.name if transport is not None else "",
        attempts=runner.attempts,
        connects=runner.connects,
        disconnects=runner.disconnects,
        uptime=now - runner.life.opened_at if state is State.CONNECTED else 0.0,
        connect_time=opened.connect_time if opened is not None else None,
        rtt=beats.last if beats is not None else sender.rtt,
        rtt_smoothed=beats.smoothed if beats is not None else None,
        messages_in=dispatch.messages_in,
        messages_out=sender.messages_out,
        bytes_in=runner.bytes_in,
        bytes_out=runner.bytes_out,
        repeats=dispatch.repeats,
        queue_depth=stream.queue.qsize() if stream is not None else 0,
        dead_letters=len(dispatch.dead_letters),
        rooms={name: RoomPlace(room.epoch, room.received) for name, room in dispatch.position.rooms.items()},
    )
