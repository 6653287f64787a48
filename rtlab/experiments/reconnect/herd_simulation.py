"""Simulates how a herd of clients reconnects after an outage, with the real backoff policies.

The policy objects are the same that a connection uses; only the clients are arrays. The server accepts
μ connections per second from a queue of finite length and refuses attempts that find it full. As with a
kernel's accept queue, it also spends time on clients that have stopped waiting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rtlab.experiments.reconnect.herd_result import HerdRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.policies.backoff import Backoff

__all__ = ["Scenario", "simulate"]

#: Steps for which the due clients are found at once; scanning all clients in each step would be slow.
_LOOK_AHEAD: Final = 32


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """An outage, and the server that returns after it. All connections are lost at time 0.

    Parameters
    ----------
    clients : int
        Number of clients.
    capacity : float
        Connections that the server accepts per second, μ.
    backlog : float
        Length of the server's accept queue. An attempt that finds it full is refused, which costs the
        server no time. ``inf``: no limit.
    outage : float
        Seconds without a server, during which all attempts are refused.
    duration : float
        Seconds to simulate.
    connect_timeout : float
        Seconds that a client waits in the queue. The server still spends the time of one accept on a
        client that has stopped waiting.
    rtt : float
        Seconds until a client learns that it was refused. This is also the time step of the simulation, so
        the length of the queue is exact to `capacity` · `rtt` places.
    lifetime : float
        Seconds after which the server closes an accepted connection; ``inf``: never. A short lifetime
        models a server that accepts and closes at once.
    bin_width : float
        Width of a bin of the curves in seconds.
    """

    clients: int = 100_000
    capacity: float = 5_000.0
    backlog: float = 4_096
    outage: float = 5.0
    duration: float = 60.0
    connect_timeout: float = 10.0
    rtt: float = 0.02
    lifetime: float = math.inf
    bin_width: float = 0.25

    def __post_init__(self) -> None:
        if self.clients < 1:
            raise ValueError(f"expected at least one client, got {self.clients!r}")
        for name in ("capacity", "backlog", "duration", "connect_timeout", "rtt", "lifetime", "bin_width"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} > 0, got {getattr(self, name)!r}")
        if not 0 <= self.outage < self.duration < math.inf:
            raise ValueError(f"expected 0 <= outage < duration, got {self.outage!r} and {self.duration!r}")


def simulate(policy: Backoff, scenario: Scenario | None = None, *, seed: int = 1, label: str = "") -> HerdRun:
    """Simulate a herd that loses its server and reconnects.

    Parameters
    ----------
    policy : Backoff
        The policy, as a connection would use it, including its `min_uptime` and `max_attempts`.
    scenario : Scenario or None
        The outage and the server. None: the defaults, with 100,000 clients and 5,000 accepts per second.
    seed : int
        Seed; the same seed gives the same run.
    label : str
        Name of the run. Empty: the name of the policy's class.

    Returns
    -------
    HerdRun

    Examples
    --------
    >>> from rtlab.policies.backoff import PRESETS
    >>> few = Scenario(clients=1_000, capacity=500.0, backlog=100)
    >>> simulate(PRESETS["full_jitter"], few).gave_up
    0
    """
    herd = _Herd(policy, scenario or Scenario(), np.random.default_rng(seed))
    s = herd.scenario
    herd.knock_in_vain()
    for index in range(int(s.outage / s.rtt), math.ceil(s.duration / s.rtt)):
        if not herd.outside:
            break
        if not index % _LOOK_AHEAD or herd.soon is None:
            herd.look_ahead(index * s.rtt)
        herd.step(index * s.rtt)
    return herd.result(label or type(policy).__name__)


class _Herd:
    """The clients as arrays: when each makes its next attempt (inf: never), and its retries so far."""

    def __init__(self, policy: Backoff, scenario: Scenario, rng: np.random.Generator) -> None:
        self.policy, self.scenario, self.rng = policy, scenario, rng
        n = scenario.clients
        self.retries = np.zeros(n, np.int64)
        self.previous = policy.delay(self.retries, np.zeros(n), rng)
        self.next_at = self.previous.copy()
        self.free_at = scenario.outage  # when the server has emptied its queue
        self.connected = 0
        self.all_in = 0.0
        self.refused = self.timed_out = 0
        self.gave_up = int(np.isinf(self.previous).sum())
        self.outside = n - self.gave_up  # clients that will still make an attempt
        #: Clients due within the look-ahead; one that fails meanwhile, and retries within it, is included.
        self.soon: NDArray[np.intp] | None = None
        self.longest_wait = 0.0
        bins = math.ceil(scenario.duration / scenario.bin_width)
        self.attempts = np.zeros(bins, np.int64)
        self.accepted = np.zeros(bins, np.int64)

    def knock_in_vain(self) -> None:
        """Process all attempts before the server is back; they do not depend on each other."""
        s = self.scenario
        while len(due := np.flatnonzero(self.next_at < s.outage)):
            at = self.next_at[due]
            self._count(self.attempts, at)
            self._fail(due, at + s.rtt)
            self.refused += len(due)

    def look_ahead(self, start: float) -> None:
        """Find the clients that make an attempt in the next steps."""
        self.soon = np.flatnonzero(self.next_at < start + _LOOK_AHEAD * self.scenario.rtt)

    def step(self, start: float) -> None:
        """Process all attempts of one time step, in the order of their times."""
        s = self.scenario
        assert self.soon is not None
        due = self.soon[self.next_at[self.soon] < min(start + s.rtt, s.duration)]
        if not len(due):
            return
        due = due[np.argsort(self.next_at[due])]
        at = self.next_at[due]
        self._count(self.attempts, at)

        queued = max(0.0, self.free_at - max(start, s.outage)) * s.capacity
        places = int(min(len(at), max(0.0, s.backlog + s.capacity * s.rtt - queued)))  # for the earliest
        self._fail(due[places:], at[places:] + s.rtt)
        self.refused += len(at) - places
        if not places:
            return

        clients, at = due[:places], at[:places]
        done = self._serve(at)
        late = done - at > s.connect_timeout
        if late.any():
            self._fail(clients[late], at[late] + s.connect_timeout)
            self.timed_out += int(np.count_nonzero(late))
            clients, at, done = clients[~late], at[~late], done[~late]
        self._accept(clients, at, done)

    def _serve(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return accept times, doneₖ = max(atₖ, doneₖ₋₁) + 1/μ, computed with a running maximum."""
        before = np.arange(len(at)) / self.scenario.capacity
        begun = np.maximum.accumulate(np.maximum(at, self.free_at) - before) + before
        done = begun + 1 / self.scenario.capacity
        self.free_at = float(done[-1])
        return done

    def _fail(self, clients: NDArray[np.intp], at: NDArray[np.float64]) -> None:
        self._try_again(clients, at, self.retries[clients] + 1, self.previous[clients])

    def _accept(self, clients: NDArray[np.intp], at: NDArray[np.float64], done: NDArray[np.float64]) -> None:
        s = self.scenario
        self.next_at[clients] = np.inf
        self.outside -= len(clients)
        shown = done < s.duration
        self._count(self.accepted, done[shown])
        self.connected += int(np.count_nonzero(shown))
        self.all_in = max(self.all_in, float(done[shown].max(initial=0.0)))
        self.longest_wait = max(self.longest_wait, float((done - at).max(initial=0.0)))
        if s.lifetime < math.inf:
            stable = s.lifetime >= self.policy.min_uptime  # as `RetryPolicy.was_stable`
            retries = np.zeros(len(clients), np.int64) if stable else self.retries[clients] + 1
            previous = np.zeros(len(clients)) if stable else self.previous[clients]
            self.outside += len(clients)
            self._try_again(clients, done + max(s.lifetime, s.rtt), retries, previous)

    def _try_again(
        self,
        clients: NDArray[np.intp],
        at: NDArray[np.float64],
        retries: NDArray[np.int64],
        previous: NDArray[np.float64],
    ) -> None:
        if not len(clients):  # a policy need not handle an empty array
            return
        delay = self.policy.delay(retries, previous, self.rng)
        self.retries[clients] = retries
        self.previous[clients] = delay
        self.next_at[clients] = at + delay
        for_good = int(np.count_nonzero(np.isinf(delay)))
        self.gave_up += for_good
        self.outside -= for_good

    def _count(self, curve: NDArray[np.int64], at: NDArray[np.float64]) -> None:
        curve += np.bincount((at / self.scenario.bin_width).astype(np.intp), minlength=len(curve))[
            : len(curve)
        ]

    def result(self, label: str) -> HerdRun:
        s = self.scenario
        everyone = s.lifetime == math.inf and self.connected == s.clients
        return HerdRun(
            label=label,
            source="simulated",
            clients=s.clients,
            capacity=s.capacity,
            outage=s.outage,
            bin_width=s.bin_width,
            attempts=self.attempts,
            accepted=self.accepted,
            refused=self.refused,
            timed_out=self.timed_out,
            gave_up=self.gave_up,
            all_in=self.all_in if everyone else None,
            longest_wait=self.longest_wait,
        )
