"""A server that accepts and closes at once: attempts saved by resetting the backoff only after an uptime."""

from __future__ import annotations

import math
from dataclasses import replace

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.policies.backoff import FullJitter

__all__ = ["attempts_by_uptime_rule"]


def attempts_by_uptime_rule(
    policy: FullJitter, *, lifetime: float = 0.1, duration: float = 60.0, seed: int = 1
) -> dict[float, float]:
    """Simulate a server that closes each connection soon after accepting it; count the attempts.

    Parameters
    ----------
    policy : FullJitter
        The policy to test, as it is and with `min_uptime` = 0 (each open connection resets the backoff).
    lifetime : float
        Seconds after which the server closes each connection.
    duration : float
        Seconds to simulate.
    seed : int
        Seed of the run.

    Returns
    -------
    dict of float to float
        `min_uptime` in seconds → mean attempts per client.

    Examples
    --------
    >>> from rtlab.policies.backoff import PRESETS
    >>> counts = attempts_by_uptime_rule(PRESETS["full_jitter"])
    >>> counts[0.0] > 10 * counts[5.0]
    True
    """
    scenario = Scenario(
        clients=1_000, capacity=1e5, backlog=math.inf, outage=0.0, duration=duration, lifetime=lifetime
    )
    return {
        rule.min_uptime: simulate(rule, scenario, seed=seed).attempts_per_client
        for rule in (replace(policy, min_uptime=0.0), policy)
    }
