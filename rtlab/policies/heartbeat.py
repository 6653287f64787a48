"""Noticing that the other end is gone: ``(state, event, now) → (state, actions)``.

Three machines answer the same question. `Ping` asks, and times the answer; `Watchdog`
only listens for a peer that promised to beat; `Sweep` is the ``isAlive`` loop found in
many servers. Which one runs decides how long a dead peer goes unnoticed, see
`rtlab.models.detection`.

Nothing here reads a clock. Feed a `Tick` when ``state.due`` has come, and the other
events as they happen; do what the actions say. A tick that comes late tells that the
caller was busy: then the peer's answers may lie unread, and it is not judged at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

__all__ = [
    "Action",
    "Beat",
    "Dead",
    "Event",
    "Heartbeat",
    "Ping",
    "Pong",
    "Received",
    "Rtt",
    "SendPing",
    "Step",
    "Sweep",
    "Tick",
    "Watchdog",
]


class Rtt(msgspec.Struct, frozen=True):
    """The round trip as estimated from heartbeats (RFC 6298 section 2), in seconds.

    Parameters
    ----------
    last : float
        The latest sample.
    smoothed : float
        Moving average, SRTT: 7/8 of the former value, 1/8 of the sample.
    variation : float
        Mean deviation, RTTVAR: 3/4 of the former value, 1/4 of the new deviation.
    samples : int
        How many samples went in.
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
    """Anything arrived: a message, a comment, a ping of the other end."""


class Pong(msgspec.Struct, frozen=True):
    """The answer to the ping of this number, and to all before it (RFC 6455 section 5.5.3)."""

    number: int


Event = Tick | Received | Pong


# Actions: what the I/O layer does next


class SendPing(msgspec.Struct, frozen=True):
    """Send the ping of this number."""

    number: int


class Dead(msgspec.Struct, frozen=True):
    """Nobody is there: abort the connection. ``silence`` is in seconds since anything came."""

    reason: str
    silence: float


Action = SendPing | Dead


class Beat(msgspec.Struct, frozen=True):
    """What a heartbeat remembers; times are those of the caller's clock.

    Parameters
    ----------
    due : float
        When the next `Tick` is wanted; ``inf`` once the peer was declared dead.
    heard : float
        When anything last arrived.
    next_ping : float
        When the next ping goes out; of no meaning to a `Watchdog`.
    number : int
        Pings sent so far.
    pending : tuple of (int, float)
        Number and time of each unanswered ping, oldest first.
    rtt : Rtt or None
        The round trip, once a ping was answered.
    doubted : bool
        Whether a verdict was put off, because we came late to pass it.
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


class Step(NamedTuple):
    """A new state, and what to do now."""

    state: Beat
    actions: tuple[Action, ...] = ()


class Heartbeat(Protocol):
    """What `Ping`, `Watchdog` and `Sweep` have in common."""

    @property
    def interval(self) -> float:
        """Seconds between beats."""
        ...

    def start(self, now: float) -> Beat:
        """Return the state of a connection that opened at `now`."""
        ...

    def step(self, state: Beat, event: Event, now: float) -> Step:
        """Return the state after `event`, and the actions it asks for."""
        ...


class _Machine(msgspec.Struct, frozen=True):
    """The parts that the three machines share."""

    interval: float = 20.0

    def __post_init__(self) -> None:
        for name, seconds in msgspec.structs.asdict(self).items():
            if not 0 < seconds < math.inf:
                raise ValueError(f"expected {name} > 0, in finite seconds, got {seconds!r}")

    def start(self, now: float) -> Beat:
        """Return the state of a connection that opened at `now`."""
        state = Beat(due=math.inf, heard=now, next_ping=now + self.interval)
        return replace(state, due=self._due(state))

    def step(self, state: Beat, event: Event, now: float) -> Step:
        """Return the state after `event`, and the actions it asks for."""
        if state.dead or (isinstance(event, Tick) and now < state.due):
            return Step(state)
        if isinstance(event, Tick):
            late = now - state.due
            # A tick this late says that *we* slept, not that the peer died: forgive what went unheard.
            if late > self.interval:
                state = replace(state, heard=now, pending=(), next_ping=now)
            reason = self._verdict(state, now)
            if reason and late > 0 and not state.doubted:
                # What we were late to read gets as long to be read before we judge; once, not for ever.
                return Step(replace(state, due=now + late, doubted=True))
            if reason:
                return Step(replace(state, due=math.inf), (Dead(reason, now - state.heard),))
            state, actions = self._ask(state, now)
        else:
            state, actions = _heard(state, event, now), ()
        due = self._due(state)
        return Step(replace(state, due=due, doubted=state.doubted and due <= now), actions)

    def _due(self, state: Beat) -> float:
        """When something must be done."""
        return state.next_ping

    def _verdict(self, state: Beat, now: float) -> str:
        """Why the peer counts as dead, or nothing."""
        raise NotImplementedError

    def _ask(self, state: Beat, now: float) -> Step:
        """Send the next ping, if it is time."""
        if now < state.next_ping:
            return Step(state)
        number = state.number + 1
        pending = (*state.pending, (number, now))
        state = replace(state, number=number, pending=pending, next_ping=state.next_ping + self.interval)
        return Step(state, (SendPing(number),))


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
    """Ping every `interval`; dead when a ping stays unanswered for `timeout`.

    A death at a random moment is noticed after U(timeout, interval + timeout).

    Parameters
    ----------
    interval : float
        Seconds between pings.
    timeout : float
        Seconds that an answer may take. It may be longer than `interval`.

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
    """Never ask; dead after `interval` + `grace` of silence.

    For a peer that beats every `interval`: an event stream's comments, or a server's
    pings. A death at a random moment is noticed after U(grace, interval + grace).

    Parameters
    ----------
    interval : float
        Seconds between the peer's beats.
    grace : float
        Seconds that a beat may be late.
    """

    grace: float = 10.0

    def _due(self, state: Beat) -> float:
        return state.heard + self.interval + self.grace

    def _verdict(self, state: Beat, now: float) -> str:
        return f"nothing came for {self.interval + self.grace:g} s" if now >= self._due(state) else ""

    def _ask(self, state: Beat, now: float) -> Step:
        return Step(state)


class Sweep(_Machine, frozen=True):
    """Every `interval`: dead if the last ping has no answer, else ping again.

    The ``isAlive`` loop of many servers: one timer for all clients, no timeout of its
    own. A death at a random moment is noticed after U(interval, 2 · interval).

    Parameters
    ----------
    interval : float
        Seconds between sweeps.
    """

    def _verdict(self, state: Beat, now: float) -> str:
        return f"ping {state.pending[0][0]} was not answered before the next sweep" if state.pending else ""
