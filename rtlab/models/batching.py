"""What batching saves and costs: flush at B messages, or T after the first.

Messages arrive as a Poisson process of rate λ; K ~ Poisson(λT) come within T of the one that
opens a batch. The j-th of them gets into the batch if K ≥ j and j < B: that gives the mean
size. While the batch grows from j to j + 1 messages, j of them wait: that gives the delay.
"""

from __future__ import annotations

import math

import numpy as np

from rtlab.models.queueing import queue_wait

__all__ = ["batch_delay", "batch_size", "loaded_delay", "throughput_cap", "tick_delay"]


def batch_size(rate: float, wait: float, limit: float = math.inf) -> float:
    """Mean messages in a frame: 1 + Σ_{j=1}^{B−1} P(K ≥ j).

    Parameters
    ----------
    rate : float
        Messages per second, λ.
    wait : float
        Seconds after a batch's first message at which it leaves, T. ``inf``: only when full.
    limit : float
        Messages at which it leaves at once, B. ``inf``: none, and the mean is 1 + λT.

    Returns
    -------
    float
        Messages, between 1 and B.

    Raises
    ------
    ValueError
        If the batch would never leave, or a parameter is out of range.

    Examples
    --------
    >>> round(batch_size(200, 0.05, 10), 3), round(batch_size(20, 0.05, 10), 3)
    (9.207, 2.0)
    """
    _check(rate, wait, limit)
    if math.isinf(limit):
        return 1 + rate * wait
    return 1 + float(_at_least(rate * wait, int(limit)).sum())


def batch_delay(rate: float, wait: float, limit: float = math.inf) -> float:
    """Mean delay that batching adds to a message: (1/λ) · Σ_{j=1}^{B−1} j·P(K ≥ j) / E[N].

    With B → ∞ it is T(λT + 2) / (2(λT + 1)), with T → ∞ (B − 1)/(2λ). At a low rate each
    message is alone and waits the whole of T, not T/2.

    Parameters
    ----------
    rate, wait, limit : float
        As in `batch_size`.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError
        As in `batch_size`.

    Examples
    --------
    >>> round(1000 * batch_delay(200, 0.05, 10), 2), round(1000 * batch_delay(20, 0.05, 10), 1)
    (21.03, 37.5)
    """
    _check(rate, wait, limit)
    if math.isinf(limit):
        expected = rate * wait
        return wait * (expected + 2) / (2 * (expected + 1))
    more = _at_least(rate * wait, int(limit))
    return float((np.arange(1, len(more) + 1) * more).sum()) / rate / batch_size(rate, wait, limit)


def tick_delay(interval: float) -> float:
    """Mean delay of a fixed tick, which does not wait for a first message: T/2.

    Parameters
    ----------
    interval : float
        Seconds between ticks, T.

    Returns
    -------
    float
        Seconds.
    """
    return interval / 2


def throughput_cap(limit: float, write_delay: float) -> float:
    """Messages a second that a capped frame and a pause between frames let through: B / T.

    A server that writes at most B messages in a frame, and then waits T whether or not more are there,
    delivers no more than this, on any machine.

    Parameters
    ----------
    limit : float
        Messages in a frame at most, B.
    write_delay : float
        Seconds between two frames, T.

    Returns
    -------
    float
        Messages per second.

    Examples
    --------
    >>> round(throughput_cap(16, 0.1))
    160
    """
    if not write_delay > 0:
        raise ValueError(f"expected write_delay > 0, in seconds, got {write_delay!r}")
    return limit / write_delay


def loaded_delay(
    rate: float, wait: float, limit: float = math.inf, *, per_frame: float, per_message: float
) -> float:
    """Mean time from a message's arrival until a server that takes its time has handled its frame.

    The batch's delay, the frame's wait behind other frames, and its service f + m·E[N]. The middle
    term is that of an M/D/1 queue (`rtlab.models.queueing.queue_wait`) of λ/E[N] frames a second:
    exact without batching, an upper bound with it, because frames that were collected for
    a time follow each other more evenly than at random.

    Parameters
    ----------
    rate, wait, limit : float
        As in `batch_size`; a `wait` of 0 is no batching.
    per_frame, per_message : float
        Seconds of the server for each frame, f, and for each message in it, m.

    Returns
    -------
    float
        Seconds; ``inf`` where the server cannot keep up.

    Examples
    --------
    Near saturation a wait of 5 ms lowers the delay to a fifth:

    >>> costs = {"per_frame": 0.0009, "per_message": 0.0001}
    >>> [round(1000 * loaded_delay(980, wait, **costs), 1) for wait in (0, 0.005)]
    [25.5, 4.7]
    """
    size = batch_size(rate, wait, limit) if wait > 0 else 1.0
    service = per_frame + per_message * size
    queued = float(queue_wait(rate / size, 1 / service))
    return (batch_delay(rate, wait, limit) if wait > 0 else 0.0) + queued + service


def _at_least(expected: float, limit: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """P(K ≥ j) for j = 1 … limit − 1, K ~ Poisson(expected)."""
    if math.isinf(expected):
        return np.ones(limit - 1)
    k = np.arange(limit - 1)
    # In logarithms: e^−λ and λᵏ leave a float's range long before their product does.
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.maximum(k[1:], 1)))))[: limit - 1]
    below = np.cumsum(np.exp(k * math.log(expected) - expected - log_factorial))
    return np.clip(1 - below, 0.0, 1.0)


def _check(rate: float, wait: float, limit: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"expected rate > 0, in finite messages per second, got {rate!r}")
    if not wait > 0:
        raise ValueError(f"expected wait > 0, in seconds, got {wait!r}")
    if not limit >= 1:
        raise ValueError(f"expected limit >= 1, got {limit!r}")
    if math.isinf(wait) and math.isinf(limit):
        raise ValueError("expected a finite wait or a finite limit, got neither: no batch would ever leave")
