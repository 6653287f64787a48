"""How long until a dead peer is detected: distributions for ping, sweep and watchdog; times for φ and TCP.

For the three, the peer dies at a random moment of the heartbeat cycle, and a round trip is short compared
with the cycle. The detection time is then uniform, and only its bounds depend on the mechanism.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Uniform",
    "phi",
    "phi_timeout",
    "ping_timeout",
    "sweep",
    "tcp_keepalive_time",
    "tcp_retransmission_time",
    "watchdog",
]


@dataclass(frozen=True)
class Uniform:
    """A detection time that is uniformly distributed between two bounds.

    Parameters
    ----------
    low, high : float
        Shortest and longest time in seconds.

    Examples
    --------
    >>> law = Uniform(10, 30)
    >>> law.mean, float(law.cdf(15))
    (20.0, 0.25)
    """

    low: float
    high: float

    @property
    def mean(self) -> float:
        """Seconds, (low + high) / 2."""
        return (self.low + self.high) / 2

    def cdf(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Return the probability that the time is at most `seconds`."""
        return np.clip((np.asarray(seconds, float) - self.low) / (self.high - self.low), 0.0, 1.0)


def ping_timeout(interval: float, timeout: float) -> Uniform:
    """Ping every `interval`, wait `timeout` for the answer: U(T, I + T), mean T + I/2.

    The first ping after the peer's death leaves 0 to I later, and the sender then waits T for an answer
    that does not come.

    Parameters
    ----------
    interval, timeout : float
        Seconds between pings, I, and seconds to wait for each answer, T.

    Returns
    -------
    Uniform
        Seconds from death to detection.
    """
    return Uniform(timeout, interval + timeout)


def sweep(interval: float) -> Uniform:
    """Sweep with an ``isAlive`` flag that each answer sets and each sweep clears: U(I, 2I).

    The first sweep after the peer's death still finds the flag set by its last answer; the second does not.

    Parameters
    ----------
    interval : float
        Seconds between sweeps, I.

    Returns
    -------
    Uniform
        Seconds from death to detection.
    """
    return Uniform(interval, 2 * interval)


def watchdog(interval: float, grace: float) -> Uniform:
    """A receiver that gives up after `interval` + `grace` of silence: U(g, I + g), mean g + I/2.

    The peer sent its last heartbeat 0 to I before it died.

    Parameters
    ----------
    interval, grace : float
        Seconds between the peer's heartbeats, I, and seconds that a heartbeat may be late, g.

    Returns
    -------
    Uniform
        Seconds from death to detection.
    """
    return Uniform(grace, interval + grace)


def phi(silence: ArrayLike, mean: float, deviation: float) -> NDArray[np.float64]:
    """Suspicion of the φ accrual detector: φ = −log₁₀(1 − F(t)).

    F is the normal distribution of the times between heartbeats. A peer that is declared dead at φ is
    alive with probability 10^−φ (Hayashibara et al., The φ Accrual Failure Detector, 2004).

    Parameters
    ----------
    silence : float or array
        Seconds since the last heartbeat, t.
    mean, deviation : float
        Mean and standard deviation of the times between heartbeats, in seconds.

    Returns
    -------
    float or array
        φ, finite also where 1 − F is too small for a float.

    Examples
    --------
    >>> round(float(phi(1.0, mean=1.0, deviation=0.1)), 3)
    0.301
    """
    x = (np.asarray(silence, float) - mean) / deviation / math.sqrt(2)
    return np.vectorize(_minus_log10_half_erfc, otypes=[float])(x)


def _minus_log10_half_erfc(x: float) -> float:
    if x < 25:
        return -math.log10(math.erfc(x) / 2)
    # erfc(x) → e^{−x²} / (x√π) (NIST DLMF 7.12.1); e^{−x²} alone would underflow.
    return (x * x + math.log(2 * x * math.sqrt(math.pi))) / math.log(10)


def phi_timeout(threshold: float, mean: float, deviation: float) -> float:
    """Seconds of silence at which φ reaches `threshold`: the inverse of `phi`.

    Parameters
    ----------
    threshold : float
        φ, in (0, 300).
    mean, deviation : float
        Mean and standard deviation of the times between heartbeats, in seconds.

    Returns
    -------
    float
        Seconds since the last heartbeat.

    Examples
    --------
    >>> round(phi_timeout(8, mean=1.0, deviation=0.1), 3)
    1.561
    """
    return mean - deviation * NormalDist().inv_cdf(10.0**-threshold)


def tcp_keepalive_time(idle: float = 7200.0, interval: float = 75.0, probes: int = 9) -> float:
    """Seconds until TCP keepalive ends a silent connection: idle + probes · interval.

    The defaults are Linux's ``tcp_keepalive_time``, ``_intvl`` and ``_probes`` (tcp(7)), and
    apply only to sockets with SO_KEEPALIVE set. By RFC 9293 section 3.8.4 the default idle time must not
    be shorter than two hours.

    Parameters
    ----------
    idle : float
        Seconds of silence before the first probe.
    interval : float
        Seconds between probes.
    probes : int
        Number of unanswered probes after which the connection is closed.

    Returns
    -------
    float
        Seconds since the last segment was received from the peer.

    Examples
    --------
    >>> tcp_keepalive_time()
    7875.0
    """
    return idle + probes * interval


def tcp_retransmission_time(retries: int = 15, rto_min: float = 0.2, rto_max: float = 120.0) -> float:
    """Seconds until TCP gives up on unacknowledged data.

    Each timeout doubles the next, up to a limit: Σ_{k=0}^{retries} min(rto_min · 2ᵏ, rto_max).
    With Linux's ``tcp_retries2`` = 15, TCP_RTO_MIN and TCP_RTO_MAX: 204.6 s of doubling, then
    six timeouts of 120 s, 924.6 s (kernel documentation, ip-sysctl). On a path with a longer round trip
    the first timeout is longer, so this is a lower bound.

    Parameters
    ----------
    retries : int
        Number of retransmissions. TCP gives up at the timeout that follows the last of them.
    rto_min, rto_max : float
        The first and the longest retransmission timeout, in seconds.

    Returns
    -------
    float
        Seconds since the first transmission.

    Examples
    --------
    >>> round(tcp_retransmission_time(), 1)
    924.6
    """
    return sum(min(rto_min * 2.0**k, rto_max) for k in range(retries + 1))
