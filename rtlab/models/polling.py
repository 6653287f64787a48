"""Delay and request rate of short polling and long polling, as closed-form models.

Messages arrive as a Poisson process of rate λ. All functions take numbers or arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LONG_POLL_TRANSITS",
    "long_poll_extra_wait",
    "long_poll_messages_per_response",
    "long_poll_requests_rate",
    "short_poll_delay",
    "short_poll_empty_share",
]

#: Fewest and most network transits before an event reaches the client: an event just after a response
#: waits for that response, the next request, and its own response (RFC 6202 section 2.2).
LONG_POLL_TRANSITS = (1, 3)


def short_poll_delay(interval: ArrayLike) -> NDArray[np.float64]:
    """Mean time that a message waits for the next poll: P/2.

    Parameters
    ----------
    interval : float or array
        Seconds between polls, P. A message arrives at a uniformly random moment between two polls.

    Returns
    -------
    float or array
        Seconds, without the network delay.

    Examples
    --------
    >>> float(short_poll_delay(3.0))
    1.5
    """
    return np.asarray(interval, float) / 2


def short_poll_empty_share(rate: ArrayLike, interval: ArrayLike) -> NDArray[np.float64]:
    """Share of polls that return no message: Pr(no arrival within P) = e^{−λP}.

    Parameters
    ----------
    rate : float or array
        Messages per second, λ.
    interval : float or array
        Seconds between polls, P.

    Returns
    -------
    float or array
        Between 0 and 1.
    """
    return np.exp(-np.asarray(rate, float) * np.asarray(interval, float))


def long_poll_messages_per_response(rate: ArrayLike, gap: ArrayLike) -> NDArray[np.float64]:
    """Mean number of messages in one response: λR + e^{−λR}.

    The server responds as soon as it has a message. During the gap R after a response,
    K ~ Poisson(λR) messages accumulate; the response to the client's next request carries all of them.
    If there are none (probability e^{−λR}), the next message to arrive is sent alone.

    Parameters
    ----------
    rate : float or array
        Messages per second, λ.
    gap : float or array
        Seconds from a response until the client's next request has arrived, R: about one
        round trip plus the client's processing time.

    Returns
    -------
    float or array
        Messages, at least 1.

    Examples
    --------
    >>> round(float(long_poll_messages_per_response(10, 0.1)), 3)
    1.368
    """
    expected = np.asarray(rate, float) * np.asarray(gap, float)
    return expected + np.exp(-expected)


def long_poll_extra_wait(rate: ArrayLike, gap: ArrayLike) -> NDArray[np.float64]:
    """Mean time that a message waits until there is a request to answer: (λR²/2) / (λR + e^{−λR}).

    The λR messages that arrive in a gap wait R/2 on average; a message that arrives after an empty gap
    does not wait at all. No message waits longer than R.

    Parameters
    ----------
    rate : float or array
        Messages per second, λ.
    gap : float or array
        Seconds from a response until the next request has arrived, R.

    Returns
    -------
    float or array
        Seconds, on top of one transit.

    Examples
    --------
    >>> [round(1000 * float(long_poll_extra_wait(rate, 0.1)), 1) for rate in (10, 100)]
    [36.6, 50.0]
    """
    rate, gap = np.asarray(rate, float), np.asarray(gap, float)
    return rate * gap**2 / 2 / long_poll_messages_per_response(rate, gap)


def long_poll_requests_rate(rate: ArrayLike, gap: ArrayLike) -> NDArray[np.float64]:
    """Requests per second of a client: λ / (λR + e^{−λR}), which tends to λ if λR ≪ 1, to 1/R if λR ≫ 1.

    Parameters
    ----------
    rate : float or array
        Messages per second, λ.
    gap : float or array
        Seconds from a response until the next request has arrived, R.

    Returns
    -------
    float or array
        Requests per second, provided that no poll reaches its time limit.
    """
    return np.asarray(rate, float) / long_poll_messages_per_response(rate, gap)
