"""Closed forms of the latency that closed-loop and open-loop testers report for a service that freezes once.

A service answers each request within s for S seconds, then freezes for F seconds. Both testers intend to
send r requests per second. The closed-loop tester waits for each answer before its next request, so only
one of its requests meets the freeze. The open-loop tester sends on schedule: a request that was due
x seconds before the end of the freeze takes x. (Tene, *How NOT to Measure Latency*, 2013.)
"""

from __future__ import annotations

from typing import Literal

__all__ = ["Loop", "mean_latency", "quantile_latency"]

Loop = Literal["open", "closed"]


def mean_latency(loop: Loop, rate: float, normal: float, freeze: float, service: float) -> float:
    """Mean latency that a tester reports.

    Closed: (rSs + F) / (rS + 1). Open: (Ss + F²/2) / (S + F).

    Parameters
    ----------
    loop : {"open", "closed"}
        Which tester.
    rate : float
        Intended requests per second, r.
    normal, freeze : float
        Seconds of normal service, S, and of the freeze, F.
    service : float
        Seconds that an answer takes while the service is not frozen, s.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> [round(mean_latency(loop, 100, 100, 100, 0.001), 3) for loop in ("closed", "open")]
    [0.011, 25.001]
    """
    if loop == "closed":
        return (rate * normal * service + freeze) / (rate * normal + 1)
    return (normal * service + freeze**2 / 2) / (normal + freeze)


def quantile_latency(
    q: float, loop: Loop, rate: float, normal: float, freeze: float, service: float
) -> float:
    """Latency that a share `q` of a tester's samples does not exceed.

    Parameters
    ----------
    q : float
        Between 0 and 1: 0.99 is p99.
    loop, rate, normal, freeze, service
        As in `mean_latency`.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> quantile_latency(0.9999, "closed", 100, 100, 100, 0.001)
    0.001
    >>> quantile_latency(0.75, "open", 100, 100, 100, 0.001)
    50.0
    """
    if not 0 <= q <= 1:
        raise ValueError(f"expected 0 <= q <= 1, got {q!r}")
    frozen = 1 / (rate * normal + 1) if loop == "closed" else freeze / (normal + freeze)
    if q <= 1 - frozen:
        return service
    return freeze if loop == "closed" else max(service, freeze * (q - 1 + frozen) / frozen)
