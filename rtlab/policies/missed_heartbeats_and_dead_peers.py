"""Detecting a dead peer: state machines ``(state, event, now) → (state, actions)``.

There are three of them. `Ping` sends pings and times the answers; `Watchdog` only listens
to a peer that sends heartbeats; `Sweep` is the ``isAlive`` loop of many servers. The choice
determines how long a dead peer stays undetected; see `rtlab.models.detection_time_distribution`.

The machines read no clock. The caller feeds a `Tick` when ``state.due`` has come, feeds the
other events as they happen, and carries out the actions. A late tick shows that the caller
was busy: answers of the peer may be unread, so the peer is not judged at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

__all__ = [
    "Beat",
    "Dead",
    "Heartbeat",
    "HeartbeatAction",
    "HeartbeatEvent",
    "HeartbeatStep",
    "Ping",
    "Pong",
    "Received",
    "Rtt",
    "SendPing",
    "Sweep",
    "Tick",
    "Watchdog",
]


class Rtt(msgspec.Struct, frozen=True):
    """The round-trip estimate from heartbeats (RFC 6298 §2), in seconds.

    Parameters
    ----------
    last : float
        The latest sample.
    smoothed : float
        Moving average, SRTT: 7/8 of the former value, 1/8 of the sample.
    variation : float
        Mean deviation, RTTVAR: 3/4 of the former value, 1/4 of the new deviation.
    samples : int
        The number of samples so far.
    """

    last: float
    smoothed: float
    variation: float
    samples: int = 1

    @classmethod
    def first(cls, sample: float) -> Rtt:
        """Start from one sample: SRTT = R, RTTVAR = R/2."""
        return cls(sample, sample, sample / 2)

    def add(self, sample: float) -> Rtt:
        """Return the estimate after one more sample."""
        variation = 0.75 * self.variation + 0.25 * abs(self.smoothed - sample)
        smoothed = 0.875 * self.smoothed + 0.125 * sample
        return Rtt(sample, smoothed, variation, self.samples + 1)


# Events: what happened


class Tick(msgspec.Struct, frozen=True):
    """``state.due`` has come."""


class Received(msgspec.Struct, frozen=True):
    """Anything arrived: a message, a comment, or a ping of the peer."""


class Pong(msgspec.Struct, frozen=True):
    """The answer to the ping of this number, and to all before it (RFC 6455 §5.5.3)."""

    number: int


HeartbeatEvent = Tick | Received | Pong


# Actions: what the I/O layer does next


class SendPing(msgspec.Struct, frozen=True):
    """Send the ping of this number."""

    number: int


class Dead(msgspec.Struct, frozen=True):
    """The peer is dead: abort the connection. ``silence`` is the seconds since anything arrived."""

    reason: str
    silence: float


HeartbeatAction = SendPing | Dead


class Beat(msgspec.Struct, frozen=True):
    """The state of a heartbeat; times are in seconds on the caller's clock.

    Parameters
    ----------
    due : float
        When the next `Tick` must be fed; ``inf`` once the peer was declared dead.
    heard : float
        When anything last arrived.
    next_ping : float
        When the next ping is sent; a `Watchdog` does not use it.
    number : int
        Pings sent so far.
    pending : tuple of (int, float)
        Number and time of each unanswered ping, oldest first.
    rtt : Rtt or None
        The round-trip estimate; None until a ping is answered.
    doubted : bool
        Whether a verdict was postponed because the tick came late.
    """

    due: float
    heard: float
    next_ping: float
    number: int = 0
    pending: tuple[tuple[int, float], ...] = ()
    rtt: Rtt | None = None
    doubted: bool = False

    @property
    def dead(self) -> bool:
        """Whether the peer was declared dead."""
        return self.due == math.inf


class HeartbeatStep(NamedTuple):
    """A new state, and the actions to carry out now."""

    state: Beat
    actions: tuple[HeartbeatAction, ...] = ()


class Heartbeat(Protocol):
    """The interface of `Ping`, `Watchdog` and `Sweep`."""

    @property
    def interval(self) -> float:
        """Seconds between heartbeats."""
        ...

    def start(self, now: float) -> Beat:
        """Return the state of a connection that opened at `now`."""
        ...

    def step(self, state: Beat, event: HeartbeatEvent, now: float) -> HeartbeatStep:
        """Return the state after `event`, and the actions it asks for."""
        ...


class _Machine(msgspec.Struct, frozen=True):
    """The base class of the three machines."""

    interval: float = 20.0

    def __post_init__(self) -> None:
        for name, seconds in msgspec.structs.asdict(self).items():
            if not 0 < seconds < math.inf:
                raise ValueError(f"expected {name} > 0, in finite seconds, got {seconds!r}")

    def start(self, now: float) -> Beat:
        """Return the state of a connection that opened at `now`."""
        state = Beat(due=math.inf, heard=now, next_ping=now + self.interval)
        return replace(state, due=self._due(state))

    def step(self, state: Beat, event: HeartbeatEvent, now: float) -> HeartbeatStep:
        """Return the state after `event`, and the actions it asks for."""
        if state.dead or (isinstance(event, Tick) and now < state.due):
            return HeartbeatStep(state)
        if isinstance(event, Tick):
            late = now - state.due
            # A tick this late shows that this process was suspended or blocked, not that the peer is dead:
            # forget the silence and the pending pings, and ping at once.
            if late > self.interval:
                state = replace(state, heard=now, pending=(), next_ping=now)
            reason = self._verdict(state, now)
            if reason and late > 0 and not state.doubted:
                # The tick was late, so answers may be unread: postpone the verdict by as long, but only once.
                return HeartbeatStep(replace(state, due=now + late, doubted=True))
            if reason:
                return HeartbeatStep(replace(state, due=math.inf), (Dead(reason, now - state.heard),))
            state, actions = self._ask(state, now)
        else:
            state, actions = _heard(state, event, now), ()
        due = self._due(state)
        return HeartbeatStep(replace(state, due=due, doubted=state.doubted and due <= now), actions)

    def _due(self, state: Beat) -> float:
        """Return when the next tick is needed."""
        return state.next_ping

    def _verdict(self, state: Beat, now: float) -> str:
        """Return why the peer counts as dead; empty if it does not."""
        raise NotImplementedError

    def _ask(self, state: Beat, now: float) -> HeartbeatStep:
        """Send the next ping, if it is time."""
        if now < state.next_ping:
            return HeartbeatStep(state)
        number = state.number + 1
        pending = (*state.pending, (number, now))
        state = replace(state, number=number, pending=pending, next_ping=state.next_ping + self.interval)
        return HeartbeatStep(state, (SendPing(number),))


def _heard(state: Beat, event: Pong | Received, now: float) -> Beat:
    sent = dict(state.pending).get(event.number) if isinstance(event, Pong) else None
    if sent is None or isinstance(event, Received):
        return replace(state, heard=now)
    left = tuple(ping for ping in state.pending if ping[0] > event.number)
    sample = now - sent
    return replace(
        state, heard=now, pending=left, rtt=state.rtt.add(sample) if state.rtt else Rtt.first(sample)
    )


class Ping(_Machine, frozen=True):
    """Pings every `interval`; the peer is dead when a ping stays unanswered for `timeout`.

    A peer that dies at a random time is detected after U(timeout, interval + timeout).

    Parameters
    ----------
    interval : float
        Seconds between pings.
    timeout : float
        Seconds that an answer may take; may be longer than `interval`.

    Examples
    --------
    >>> heartbeat = Ping(interval=20, timeout=10)
    >>> state = heartbeat.start(now=0.0)
    >>> state, actions = heartbeat.step(state, Tick(), now=20.0)
    >>> actions
    (SendPing(number=1),)
    >>> heartbeat.step(state, Tick(), now=30.0).actions
    (Dead(reason='ping 1 was not answered within 10 s', silence=30.0),)
    """

    timeout: float = 20.0

    def _due(self, state: Beat) -> float:
        return min(state.next_ping, state.pending[0][1] + self.timeout if state.pending else math.inf)

    def _verdict(self, state: Beat, now: float) -> str:
        if state.pending and now >= state.pending[0][1] + self.timeout:
            return f"ping {state.pending[0][0]} was not answered within {self.timeout:g} s"
        return ""


class Watchdog(_Machine, frozen=True):
    """Sends nothing; the peer is dead after `interval` + `grace` of silence.

    This suits a peer that sends a heartbeat every `interval`, such as an event stream's comments or
    a server's pings. A peer that dies at a random time is detected after U(grace, interval + grace).

    Parameters
    ----------
    interval : float
        Seconds between the peer's heartbeats.
    grace : float
        Seconds that a heartbeat may be late.
    """

    grace: float = 10.0

    def _due(self, state: Beat) -> float:
        return state.heard + self.interval + self.grace

    def _verdict(self, state: Beat, now: float) -> str:
        return f"nothing came for {self.interval + self.grace:g} s" if now >= self._due(state) else ""

    def _ask(self, state: Beat, now: float) -> HeartbeatStep:
        return HeartbeatStep(state)


class Sweep(_Machine, frozen=True):
    """Checks every `interval`: the peer is dead if the last ping has no answer, else it is pinged again.

    This is the ``isAlive`` loop of many servers: one timer for all clients, and no separate
    timeout. A peer that dies at a random time is detected after U(interval, 2 · interval).

    Parameters
    ----------
    interval : float
        Seconds between sweeps.
    """

    def _verdict(self, state: Beat, now: float) -> str:
        return f"ping {state.pending[0][0]} was not answered before the next sweep" if state.pending else ""
