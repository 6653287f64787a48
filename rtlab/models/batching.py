"""What batching saves and costs: a batch is sent when it holds B messages, or T after its first one.

Messages arrive as a Poisson process of rate λ; K ~ Poisson(λT) of them arrive within T of the message
that opens a batch. The j-th of these K is in the same batch if K ≥ j and j < B, which gives the mean
batch size. While the batch grows from j to j + 1 messages, j messages wait, which gives the mean delay.
"""

from __future__ import annotations

import math

import numpy as np

from rtlab.models.queue_length_and_loss import queue_wait

__all__ = ["batch_delay", "batch_size", "loaded_delay", "throughput_cap", "tick_delay"]


def batch_size(rate: float, wait: float, limit: float = math.inf) -> float:
    """Mean messages in a frame: 1 + Σ_{j=1}^{B−1} P(K ≥ j).

    Parameters
    ----------
    rate : float
        Messages per second, λ.
    wait : float
        Seconds after its first message at which a batch is sent, T. ``inf``: it is sent only when full.
    limit : float
        Number of messages at which a batch is sent at once, B. ``inf``: no limit; the mean is 1 + λT.

    Returns
    -------
    float
        Messages, between 1 and B.

    Raises
    ------
    ValueError
        If the batch would never be sent, or a parameter is out of range.

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

    The delay tends to T(λT + 2) / (2(λT + 1)) as B → ∞, and to (B − 1)/(2λ) as T → ∞. At a low rate
    each message is alone in its batch and waits the whole of T, not T/2.

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
    """Mean delay when batches are sent at fixed ticks, not T after their first message: T/2.

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
    """Highest throughput with a limit on messages per frame and a pause between frames: B / T.

    A server that writes at most B messages in a frame, and then always waits T even if more messages
    are queued, delivers no more than this, however fast the machine is.

    Parameters
    ----------
    limit : float
        Largest number of messages in a frame, B.
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
    """Mean time from a message's arrival until a server with a service time has handled its frame.

    This is the sum of the batching delay, the frame's wait behind other frames, and its service time
    f + m·E[N]. The second term is the wait in an M/D/1 queue (`queue_wait` of
    `rtlab.models.queue_length_and_loss`) with λ/E[N] frames per second. It is exact without batching and
    an upper bound with batching, because collecting messages for a time makes the frames arrive more evenly
    than a Poisson process.

    Parameters
    ----------
    rate, wait, limit : float
        As in `batch_size`; a `wait` of 0 means no batching.
    per_frame, per_message : float
        Seconds that the server spends on each frame, f, and on each message in it, m.

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
    # In logarithms: e^−λ underflows and λᵏ overflows a float long before their product does.
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
