"""Go-back-N: which numbered messages may be on their way, and where to begin again.

Every message has a dense number. At most `window` of them have no answer at any time; when an
answer is missing, everything from the oldest unanswered one on goes again, in order. So the
receiver needs to keep one number only (RFC 3366 §2.2; Kafka's idempotent producer is the same).
"""

from __future__ import annotations

__all__ = ["GoBackN"]


class GoBackN:
    """The window of one stream of numbered messages.

    Parameters
    ----------
    window : int
        Messages that may have no answer at the same time.
    first : int
        Number of the first message.

    Attributes
    ----------
    base : int
        The oldest message without an answer: all before it are settled.
    next : int
        The next one to send.

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
        # Settled out of order: above `base` only, so never more than the window.
        self._settled: set[int] = set()

    def __repr__(self) -> str:
        return f"<GoBackN base={self.base} next={self.next}>"

    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        return max(0, self.base + self.window - self.next)

    def is_settled(self, number: int) -> bool:
        """Whether a message needs no answer any more."""
        return number < self.base or number in self._settled

    def sent(self, count: int = 1) -> None:
        """Note that the next messages are on their way."""
        self.next += count

    def settle(self, number: int) -> None:
        """Note that a message has its answer; one that had it before changes nothing."""
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
        # Late answers may come while older messages go again.
        self.next = max(self.next, self.base)

    def back(self) -> None:
        """Begin again at the oldest message without an answer."""
        self.next = self.base
