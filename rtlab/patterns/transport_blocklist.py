"""Remembers which transports failed: for which origin, why, and for how long to avoid them."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

__all__ = ["Blocklist"]

_NEVER = float("-inf")


class _Entry(msgspec.Struct):
    """The state of one transport to one origin."""

    blocked_until: float = _NEVER
    resting_until: float = _NEVER
    reason: str = ""
    short_lives: int = 0


class Blocklist:
    """Remembers, per origin, which transports failed, and for how long to avoid them.

    Share one blocklist among clients, so that they do not repeat each other's failed attempts.

    Parameters
    ----------
    reprobe_after : float
        Seconds after which a connect tries a failed transport again.
    short_life : float
        A connection that is lost within this many seconds counts as short-lived.
    max_short_lives : int
        After so many short-lived connections in a row, something on the path is
        assumed to cut this transport, and it is blocked.
    clock : callable
        Returns monotonic time in seconds.

    Examples
    --------
    >>> blocklist = Blocklist(clock=lambda: 0.0)
    >>> blocklist.block("example.org", "websocket", "no 101")
    >>> blocklist.blocked("example.org", "websocket")
    'no 101'
    """

    def __init__(
        self,
        *,
        reprobe_after: float = 300.0,
        short_life: float = 5.0,
        max_short_lives: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._reprobe_after = reprobe_after
        self._short_life = short_life
        self._max_short_lives = max_short_lives
        self._known: dict[tuple[str, str], _Entry] = {}

    def blocked(self, origin: str, transport: str) -> str:
        """Return why a connect should not begin with a transport now; empty if it may."""
        entry = self._known.get((origin, transport))
        if entry is None or self.clock() >= entry.blocked_until:
            return ""
        return entry.reason

    def resting(self, origin: str, transport: str) -> bool:
        """Whether even background probes, which delay no message, should leave a transport alone.

        This is so while a server's ``Retry-After`` runs, and after too many short-lived
        connections: a probe would succeed, and the next connection would be cut again.
        """
        entry = self._known.get((origin, transport))
        return entry is not None and self.clock() < entry.resting_until

    def block(self, origin: str, transport: str, reason: str, seconds: float | None = None) -> None:
        """Note that a transport failed.

        Parameters
        ----------
        origin, transport : str
            Where to, and which transport.
        reason : str
            Why, in one sentence.
        seconds : float, optional
            How long to avoid the transport, from the server's ``Retry-After``; at most
            `reprobe_after`, which is also the default.
        """
        self._block(origin, transport, reason, seconds, rests=seconds is not None)

    def _block(self, origin: str, transport: str, reason: str, seconds: float | None, *, rests: bool) -> None:
        entry = self._entry(origin, transport)
        believed = self._reprobe_after if seconds is None else min(seconds, self._reprobe_after)
        entry.blocked_until, entry.reason, entry.short_lives = self.clock() + believed, reason, 0
        entry.resting_until = entry.blocked_until if rests else _NEVER

    def unblock(self, origin: str, transport: str) -> None:
        """Note that a transport works after all; its short-lived connections so far still count."""
        entry = self._entry(origin, transport)
        entry.blocked_until = entry.resting_until = _NEVER

    def lived(self, origin: str, transport: str, seconds: float) -> None:
        """Note how long a connection lasted before it was lost."""
        entry = self._entry(origin, transport)
        entry.short_lives = entry.short_lives + 1 if seconds < self._short_life else 0
        if entry.short_lives >= self._max_short_lives:
            reason = (
                f"lost {entry.short_lives} times within {self._short_life:g} s: something on the way cuts it"
            )
            self._block(origin, transport, reason, None, rests=True)

    def forget(self, origin: str | None = None) -> None:
        """Forget one origin, or all: the next connect tries every transport again."""
        self._known = {key: entry for key, entry in self._known.items() if origin not in (None, key[0])}

    def _entry(self, origin: str, transport: str) -> _Entry:
        return self._known.setdefault((origin, transport), _Entry())
