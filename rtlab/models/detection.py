"""How long a dead peer goes unnoticed: one law for each kind of heartbeat.

The peer dies at a random moment of the heartbeat's cycle, and a round trip is short
against it. Then the time until it is noticed is uniform, and only its bounds differ.
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
    """A time that is uniform between two bounds.

    Parameters
    ----------
    low, high : float
        Seconds.

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
        """Return the probability that it takes at most as long."""
        return np.clip((np.asarray(seconds, float) - self.low) / (self.high - self.low), 0.0, 1.0)


def ping_timeout(interval: float, timeout: float) -> Uniform:
    """Ping every `interval`, wait `timeout` for the answer: U(T, I + T), mean T + I/2.

    The peer is silent from the moment of death, but the first ping that says so leaves
    0 to I later, and its answer is waited for.

    Parameters
    ----------
    interval, timeout : float
        Seconds, I and T.

    Returns
    -------
    Uniform
        Seconds from death to detection.
    """
    return Uniform(timeout, interval + timeout)


def sweep(interval: float) -> Uniform:
    """The ``isAlive`` loop: U(I, 2I).

    The first sweep after a death still finds the last answer; the second does not.

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
    """Silence for `interval` + `grace`: U(g, I + g), mean g + I/2.

    The last beat came 0 to I before the death.

    Parameters
    ----------
    interval, grace : float
        Seconds between the peer's beats, I, and what a beat may be late, g.

    Returns
    -------
    Uniform
        Seconds from death to detection.
    """
    return Uniform(grace, interval + grace)


def phi(silence: ArrayLike, mean: float, deviation: float) -> NDArray[np.float64]:
    """Suspicion of the φ accrual detector: φ = −log₁₀(1 − F(t)).

    F is the normal distribution of the times between beats. A verdict at φ is wrong
    with probability 10^−φ (Hayashibara et al., The φ Accrual Failure Detector, 2004).

    Parameters
    ----------
    silence : float or array
        Seconds since the last beat, t.
    mean, deviation : float
        Of the times between beats, in seconds.

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
        Of the times between beats, in seconds.

    Returns
    -------
    float
        Seconds since the last beat.

    Examples
    --------
    >>> round(phi_timeout(8, mean=1.0, deviation=0.1), 3)
    1.561
    """
    return mean - deviation * NormalDist().inv_cdf(10.0**-threshold)


def tcp_keepalive_time(idle: float = 7200.0, interval: float = 75.0, probes: int = 9) -> float:
    """Seconds until TCP keepalive ends a silent connection: idle + probes · interval.

    The defaults are Linux's ``tcp_keepalive_time``, ``_intvl`` and ``_probes`` (tcp(7)), and
    apply only to sockets that asked for SO_KEEPALIVE. RFC 9293 section 3.8.4 forbids to
    keep alive sooner than after two hours by default.

    Parameters
    ----------
    idle : float
        Seconds of silence before the first probe.
    interval : float
        Seconds between probes.
    probes : int
        Unanswered probes that end it.

    Returns
    -------
    float
        Seconds since anything was last heard.

    Examples
    --------
    >>> tcp_keepalive_time()
    7875.0
    """
    return idle + probes * interval


def tcp_retransmission_time(retries: int = 15, rto_min: float = 0.2, rto_max: float = 120.0) -> float:
    """Seconds until TCP gives up on data that nobody acknowledges.

    Each timeout doubles the next, up to a limit: Σ_{k=0}^{retries} min(rto_min · 2ᵏ, rto_max).
    With Linux's ``tcp_retries2`` = 15, TCP_RTO_MIN and TCP_RTO_MAX: 204.6 s of doubling, then
    six timeouts of 120 s, 924.6 s (kernel documentation, ip-sysctl). A longer
    round trip starts from a longer timeout, so this is the least.

    Parameters
    ----------
    retries : int
        Retransmissions; one more timeout than these passes.
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
