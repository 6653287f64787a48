"""Head-of-line blocking: the delay that one lost packet causes on a reliable channel.

A message is sent every `gap` seconds, each in a packet of its own. SCTP retransmits a packet when three
later packets have been acknowledged and it has not (*fast retransmit*, RFC 9260 §7.2.4), as TCP does
after three duplicate acknowledgements (RFC 5681 §3.2). Until the retransmission arrives, an ordered
channel holds back every later message; an unordered channel delivers them at once.
"""

from __future__ import annotations

import math

__all__ = ["REPORTS", "blocked_messages", "late_share", "repair_delay"]

#: Number of acknowledgements that must report a packet missing before it is retransmitted.
REPORTS = 3


def repair_delay(gap: float, rtt: float) -> float:
    """Return how much later than planned a lost message arrives: 3·gap + rtt.

    The third packet after the lost one leaves 3 gaps later. One round trip is added: its acknowledgement
    travels back, then the retransmitted packet travels out.

    Parameters
    ----------
    gap : float
        Seconds between two messages.
    rtt : float
        Round-trip time in seconds.

    Returns
    -------
    float
        Seconds on top of a normal transit, provided that the sender keeps sending and that the
        retransmission arrives; otherwise a timer must expire (at least 1 s, RFC 9260 §16).

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
        Seconds beyond a normal transit from which a message counts as late.

    Returns
    -------
    int
        Number of late messages including the lost one: (W − threshold) / gap, rounded up.

    Examples
    --------
    >>> blocked_messages(0.005, 0.06)
    15
    """
    wait = repair_delay(gap, rtt) - threshold
    return max(0, math.ceil(wait / gap - 1e-9))


def late_share(loss: float, gap: float, rtt: float, threshold: float = 0.0, *, ordered: bool = True) -> float:
    """Return the share of messages that are late, for independent losses.

    On an ordered channel a message is on time if neither it nor any message that could block it was lost,
    so the share is 1 − (1 − p)ⁿ, with n from `blocked_messages`. On an unordered channel it is p, because
    a loss delays only the lost message.

    Parameters
    ----------
    loss : float
        Probability that a packet is lost, p.
    gap, rtt, threshold : float
        As for `blocked_messages`.
    ordered : bool
        Whether the channel delivers messages in order.

    Returns
    -------
    float
        0 to 1. Lost retransmissions and lost acknowledgements, which would add to it, are left out.

    Examples
    --------
    >>> round(late_share(0.02, 0.005, 0.06, 0.02), 3)
    0.199
    """
    blocked = blocked_messages(gap, rtt, threshold)
    if not blocked:
        return 0.0
    return 1 - (1 - loss) ** blocked if ordered else loss
