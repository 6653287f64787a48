"""How long the queue of a slow consumer gets, and how many messages a bounded one loses, in closed form.

Messages arrive at rate λ (`rate`), the consumer handles μ (`service`) per second; ρ = λ/μ. All
functions take numbers or arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "conflated_age",
    "growth_rate",
    "loss_share",
    "queue_length",
    "queue_wait",
    "queued_age",
    "time_to_catch_up",
    "time_to_fill",
]


def queue_length(rate: ArrayLike, service: ArrayLike) -> NDArray[np.float64]:
    """Mean number of messages that wait in an M/D/1 queue: ρ² / (2(1 − ρ)) (Pollaczek–Khinchine).

    Parameters
    ----------
    rate, service : float or array
        λ and μ, per second.

    Returns
    -------
    float or array
        Messages, without the one in service; ``inf`` from ρ = 1 on.

    Examples
    --------
    >>> round(float(queue_length(90, 100)), 2), float(queue_length(100, 100))
    (4.05, inf)
    """
    return np.asarray(rate, float) * queue_wait(rate, service)


def queue_wait(rate: ArrayLike, service: ArrayLike) -> NDArray[np.float64]:
    """Mean wait in an M/D/1 queue: ρ / (2μ(1 − ρ)).

    Parameters
    ----------
    rate, service : float or array
        λ and μ, per second.

    Returns
    -------
    float or array
        Seconds before service begins; ``inf`` from ρ = 1 on.

    Examples
    --------
    >>> round(float(queue_wait(90, 100)), 3)
    0.045
    """
    service = np.asarray(service, float)
    with np.errstate(divide="ignore"):
        load = np.asarray(rate, float) / service
        left = np.maximum(1 - load, 0.0)
        return load / (2 * service * left)


def growth_rate(rate: ArrayLike, service: ArrayLike) -> NDArray[np.float64]:
    """Messages per second by which an overloaded queue grows: max(0, λ − μ).

    Parameters
    ----------
    rate, service : float or array
        λ and μ, per second.

    Returns
    -------
    float or array
        Messages per second.
    """
    return np.maximum(0.0, np.asarray(rate, float) - np.asarray(service, float))


def time_to_fill(rate: ArrayLike, service: ArrayLike, bound: ArrayLike) -> NDArray[np.float64]:
    """Time until an overloaded queue of B places is full: B / (λ − μ).

    Parameters
    ----------
    rate, service : float or array
        λ and μ, per second.
    bound : float or array
        Places in the queue, B.

    Returns
    -------
    float or array
        Seconds; ``inf`` up to ρ = 1, and 0 without a place.

    Examples
    --------
    >>> float(time_to_fill(150, 100, 1000))
    20.0
    """
    return _duration(bound, growth_rate(rate, service))


def time_to_catch_up(waiting: ArrayLike, rate: ArrayLike, service: ArrayLike) -> NDArray[np.float64]:
    """Time until the queue is empty, while new messages keep arriving: W / (μ − λ).

    Parameters
    ----------
    waiting : float or array
        Messages in the queue at the start, W.
    rate, service : float or array
        λ and μ, per second.

    Returns
    -------
    float or array
        Seconds; ``inf`` from ρ = 1 on, and 0 if none waits.

    Examples
    --------
    >>> float(time_to_catch_up(100, 150, 200))
    2.0
    """
    return _duration(waiting, growth_rate(service, rate))


def loss_share(rate: ArrayLike, service: ArrayLike) -> NDArray[np.float64]:
    """Share of messages that a full queue drops: max(0, 1 − μ/λ), whatever its length.

    Parameters
    ----------
    rate, service : float or array
        λ and μ, per second.

    Returns
    -------
    float or array
        Between 0 and 1.

    Examples
    --------
    >>> float(loss_share(200, 100))
    0.5
    """
    rate = np.asarray(rate, float)
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing arrives, nothing is lost
        return np.maximum(0.0, np.where(rate == 0, 0.0, 1 - np.asarray(service, float) / rate))


def queued_age(service: ArrayLike, bound: ArrayLike) -> NDArray[np.float64]:
    """Greatest age of a message that leaves a full queue of B places: B/μ. Longer queues deliver older data.

    Parameters
    ----------
    service : float or array
        μ, per second, if a full queue drops the newest message. If it drops the oldest, each arrival
        also moves the queue up by one place: pass λ, per second.
    bound : float or array
        Places in the queue, B.

    Returns
    -------
    float or array
        Seconds until service begins.
    """
    return _duration(bound, service)


def conflated_age(service: ArrayLike, keys: ArrayLike) -> NDArray[np.float64]:
    """Greatest age in a queue that keeps only the latest value of each key: K/μ, whatever the rate.

    This age is reached by the last values, after the arrivals have stopped. While values keep arriving at
    λ > μ, evenly and for each key in turn, a newer value replaces each one after K/λ, so none gets older.

    Parameters
    ----------
    service : float or array
        μ, per second.
    keys : float or array
        Number of different keys, K, which are served in turn.

    Returns
    -------
    float or array
        Seconds.
    """
    return _duration(keys, service)


def _duration(messages: ArrayLike, speed: ArrayLike) -> NDArray[np.float64]:
    """Return ``messages / speed``: 0 for no messages, and else ``inf`` at speed 0."""
    messages = np.asarray(messages, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(messages == 0, 0.0, messages / np.asarray(speed, float))[()]
