"""How jitter can vanish: policies whose delays become equal again after some attempts, found by sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.policies.backoff import Backoff

__all__ = ["delay_spread", "share_at_cap", "synchrony"]

_DRAWS: Final = 100_000


def share_at_cap(policy: Backoff, cap: float, attempts: int, *, seed: int = 1) -> NDArray[np.float64]:
    """Return the share of a herd that waits exactly the longest delay, at each attempt.

    Parameters
    ----------
    policy : Backoff
        Whose delays to draw.
    cap : float
        Longest delay of the policy, in seconds.
    attempts : int
        Number of attempts.
    seed : int
        Seed of the random delays.

    Returns
    -------
    array of float, shape (attempts,)
        0 if the jitter keeps all clients apart, 1 if it has vanished.

    Examples
    --------
    The jitter of socket.io vanishes, because its delay is capped after the jitter:

    >>> from rtlab.policies.backoff import PRESETS, Decorrelated, FullJitter
    >>> share_at_cap(PRESETS["socketio"], 5.0, 6).round(1).tolist()
    [0.0, 0.0, 0.3, 0.9, 1.0, 1.0]

    With decorrelated jitter a share of the delays is exactly the cap; with full jitter none is:

    >>> [round(float(share_at_cap(policy(1, 30), 30.0, 50)[-1]), 2) for policy in (Decorrelated, FullJitter)]
    [0.38, 0.0]
    """
    rng = np.random.default_rng(seed)
    delay, shares = np.zeros(_DRAWS), np.empty(attempts)
    for n in range(attempts):
        delay = policy.delay(np.full(_DRAWS, n), delay, rng)
        shares[n] = np.mean(delay == cap)
    return shares


def delay_spread(policy: Backoff, attempts: int, *, seed: int = 1) -> NDArray[np.float64]:
    """Return the relative spread of the delays at each attempt: (P90 − P10) / mean.

    Parameters
    ----------
    policy : Backoff
        Whose delays to draw.
    attempts : int
        Number of attempts.
    seed : int
        Seed of the random delays.

    Returns
    -------
    array of float, shape (attempts,)
        0 if all clients wait equally long; 1.6 for full jitter, 0.53 for equal jitter. Clients that have
        given up do not count; NaN if all have.

    Examples
    --------
    >>> from rtlab.policies.backoff import EqualJitter, FullJitter
    >>> [round(float(delay_spread(policy(1, 5), 4)[-1]), 1) for policy in (FullJitter, EqualJitter)]
    [1.6, 0.5]
    """
    rng = np.random.default_rng(seed)
    delay, spread = np.zeros(_DRAWS), np.full(attempts, np.nan)
    for n in range(attempts):
        delay = policy.delay(np.full(_DRAWS, n), delay, rng)
        made = delay[np.isfinite(delay)]
        if len(made):
            low, high = np.percentile(made, (10, 90))
            spread[n] = (high - low) / made.mean() if high > low else 0.0
    return spread


def synchrony(policy: Backoff, attempts: int, *, width: float = 0.1, seed: int = 1) -> float:
    """Return the share of a herd that makes its n-th attempt within the busiest `width` seconds.

    Parameters
    ----------
    policy : Backoff
        Whose delays to draw.
    attempts : int
        The number of the attempt, n; all attempts before it fail at once.
    width : float
        Length of the window in seconds.
    seed : int
        Seed of the random delays.

    Returns
    -------
    float
        1 for a herd in lockstep, 0 for one that has given up before.

    Examples
    --------
    >>> from rtlab.policies.backoff import Constant, FullJitter
    >>> synchrony(Constant(1.0), 5)
    1.0
    >>> synchrony(FullJitter(1.0, 5.0), 5) < 0.05
    True
    """
    rng = np.random.default_rng(seed)
    delay, at = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for n in range(attempts):
        delay = policy.delay(np.full(_DRAWS, n), delay, rng)
        at += delay
    at = np.sort(at[np.isfinite(at)])  # the delay of a client that has given up is infinite
    # Largest share of attempts in any window of `width` seconds, widened by 1e-9 against rounding.
    within = np.searchsorted(at, at + width * (1 + 1e-9), "right") - np.arange(len(at))
    return float(np.max(within, initial=0) / _DRAWS)
