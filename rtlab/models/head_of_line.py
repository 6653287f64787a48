"""Head-of-line blocking: what one lost packet costs on a channel that repairs losses.

Messages leave every `gap` seconds, each in a packet of its own. SCTP repeats a packet
when three later ones have been acknowledged past it (*fast retransmit*, RFC 9260
§7.2.4), as TCP does after three duplicate acknowledgements (RFC 5681 §3.2). An ordered
channel then holds back whatever comes after the hole; an unordered one does not.
"""

from __future__ import annotations

import math

__all__ = ["REPORTS", "blocked_messages", "late_share", "repair_delay"]

#: Acknowledgements that must miss a packet before it is repeated.
REPORTS = 3


def repair_delay(gap: float, rtt: float) -> float:
    """Return how much later than planned a lost message arrives: 3·gap + rtt.

    The third later packet leaves 3 gaps after the lost one. Its acknowledgement comes
    back, and the repeated packet goes out: one round trip.

    Parameters
    ----------
    gap : float
        Seconds between two messages.
    rtt : float
        Round-trip time in seconds.

    Returns
    -------
    float
        Seconds on top of a normal transit. It presupposes that packets keep coming and
        that the repetition arrives; else a timer must expire (1 s at least, RFC 9260 §16).

    Examples
    --------
    >>> round(repair_delay(0.005, 0.06), 6)
    0.075
    """
    return REPORTS * gap + rtt


def blocked_messages(gap: float, rtt: float, threshold: float = 0.0) -> int:
    """Return how many messages of an ordered channel one loss makes late.

    The k-th message after the lost one waits W − k·gap, where W is `repair_delay`.

    Parameters
    ----------
    gap, rtt : float
        As for `repair_delay`.
    threshold : float
        Seconds over a normal transit from which a message counts as late.

    Returns
    -------
    int
        The lost one included: the height of the tower divided by its step.

    Examples
    --------
    >>> blocked_messages(0.005, 0.06)
    15
    """
    wait = repair_delay(gap, rtt) - threshold
    return max(0, math.ceil(wait / gap - 1e-9))


def late_share(loss: float, gap: float, rtt: float, threshold: float = 0.0, *, ordered: bool = True) -> float:
    """Return the share of messages that are late, for independent losses.

    Ordered: a message is on time when neither it nor one of those that could block it was
    lost, so 1 − (1 − p)ⁿ with n of `blocked_messages`. Unordered: p, each loss its own.

    Parameters
    ----------
    loss : float
        Probability that a packet is lost, p.
    gap, rtt, threshold : float
        As for `blocked_messages`.
    ordered : bool
        Whether the channel keeps the order.

    Returns
    -------
    float
        0 to 1. Lost repetitions and lost acknowledgements come on top.

    Examples
    --------
    >>> round(late_share(0.02, 0.005, 0.06, 0.02), 3)
    0.199
    """
    blocked = blocked_messages(gap, rtt, threshold)
    if not blocked:
        return 0.0
    return 1 - (1 - loss) ** blocked if ordered else loss
