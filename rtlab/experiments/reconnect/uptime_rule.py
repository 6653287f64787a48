"""A server that accepts and closes at once: what a minimum uptime before a reset of backoff saves."""

from __future__ import annotations

import math
from dataclasses import replace

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.policies.backoff import FullJitter

__all__ = ["attempts_by_uptime_rule"]


def attempts_by_uptime_rule(
    policy: FullJitter, *, lifetime: float = 0.1, duration: float = 60.0, seed: int = 1
) -> dict[float, float]:
    """Let a server accept and close at once, and count what a client does to it.

    Parameters
    ----------
    policy : FullJitter
        Tried with `min_uptime` = 0 (the count starts again on open) and as it is.
    lifetime : float
        Seconds that each connection lives.
    duration : float
        Seconds to simulate.
    seed : int
        Of the run.

    Returns
    -------
    dict of float to float
        Attempts per client, by `min_uptime`.

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
