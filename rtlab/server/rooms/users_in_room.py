"""The users in a room, each once, however many connections the user has. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Presence"]


class Presence:
    """The users that one room shows.

    Attributes
    ----------
    announced : list of str
        The users that the members were told last.
    here, told : list of str
        The users on this node, as counted last, and as sent to the other nodes last.
    elsewhere : dict of str to list of str
        Another node → the room's users there.
    """

    __slots__ = ("_leaving", "announced", "elsewhere", "here", "told")

    def __init__(self) -> None:
        self.announced: list[str] = []
        self.here: list[str] = []
        self.told: list[str] = []
        self.elsewhere: dict[str, list[str]] = {}
        # User without a connection → until when the user still counts as present.
        self._leaving: dict[str, float] = {}

    @property
    def lingering(self) -> bool:
        """Whether the grace period of someone is running."""
        return bool(self._leaving)

    def linger(self, user: str, until: float) -> None:
        """Count a user as present until a time, although the user has no connection."""
        self._leaving[user] = until

    def users(self, connected: Iterable[str], now: float) -> list[str]:
        """Return the room's users on all nodes, in order of arrival, each once.

        Parameters
        ----------
        connected : iterable of str
            The users of this node's connections, repeats included.
        now : float
            The present time: grace periods until then have ended.
        """
        here = dict.fromkeys(connected)
        for user, until in list(self._leaving.items()):
            if user in here or until <= now:
                del self._leaving[user]
        here |= dict.fromkeys(self._leaving)
        self.here = list(here)
        for users in self.elsewhere.values():
            here |= dict.fromkeys(users)
        # Users in their grace period keep their place in the list.
        return list(dict.fromkeys((*(user for user in self.announced if user in here), *here)))
