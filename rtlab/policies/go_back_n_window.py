"""Go-back-N: which numbered messages may be in flight, and from where to retransmit.

Messages are numbered densely. At most `window` of them are unacknowledged at any time. When an
acknowledgement is missing, all messages from the oldest unacknowledged one on are sent again, in order.
So the receiver needs to keep one number only (RFC 3366 §2.2; Kafka's idempotent producer does the same).
"""

from __future__ import annotations

__all__ = ["GoBackN"]


class GoBackN:
    """The send window of one stream of numbered messages.

    Parameters
    ----------
    window : int
        The most messages that may be unacknowledged at the same time.
    first : int
        The number of the first message.

    Attributes
    ----------
    base : int
        The number of the oldest unacknowledged message; all before it are settled.
    next : int
        The number of the next message to send.

    Raises
    ------
    ValueError
        The window is smaller than 1.

    Examples
    --------
    >>> window = GoBackN(window=3)
    >>> window.sent(3), window.room
    (None, 0)
    >>> window.settle(2), window.base      # the answer to 1 is missing
    (None, 1)
    >>> window.back(), window.next         # so 1 goes again, and what follows it
    (None, 1)
    >>> window.settle(1), window.base      # 2 was answered already
    (None, 3)
    """

    __slots__ = ("_settled", "base", "next", "window")

    def __init__(self, window: int, first: int = 1) -> None:
        if window < 1:
            raise ValueError(f"expected window >= 1, got {window!r}")
        self.window = window
        self.base = self.next = first
        # Numbers settled out of order: all above `base`, so never more than the window.
        self._settled: set[int] = set()

    def __repr__(self) -> str:
        return f"<GoBackN base={self.base} next={self.next}>"

    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        return max(0, self.base + self.window - self.next)

    def is_settled(self, number: int) -> bool:
        """Return whether a message is settled, that is, acknowledged or given up."""
        return number < self.base or number in self._settled

    def sent(self, count: int = 1) -> None:
        """Record that the next `count` messages were sent."""
        self.next += count

    def settle(self, number: int) -> None:
        """Record that a message is settled; a repeated call for it changes nothing."""
        if number < self.base:
            return
        if number == self.base and not self._settled:
            self.base += 1
            self.next = max(self.next, self.base)
            return
        self._settled.add(number)
        while self.base in self._settled:
            self._settled.discard(self.base)
            self.base += 1
        # A late answer may settle messages that were about to be retransmitted.
        self.next = max(self.next, self.base)

    def back(self) -> None:
        """Go back: send again from the oldest unacknowledged message on."""
        self.next = self.base
