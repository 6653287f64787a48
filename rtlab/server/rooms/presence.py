"""Who is in a room, counted by user over connections. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Presence"]


class Presence:
    """The users that one room shows.

    Attributes
    ----------
    announced : list of str
        What the members were told last.
    here, told : list of str
        Those of this node, as they were counted last, and as the other nodes were told last.
    elsewhere : dict of str to list of str
        Node → those who are in the room there.
    """

    __slots__ = ("_leaving", "announced", "elsewhere", "here", "told")

    def __init__(self) -> None:
        self.announced: list[str] = []
        self.here: list[str] = []
        self.told: list[str] = []
        self.elsewhere: dict[str, list[str]] = {}
        # Users without a connection, and until when each still counts as here.
        self._leaving: dict[str, float] = {}

    @property
    def lingering(self) -> bool:
        """Whether the grace period of someone is running."""
        return bool(self._leaving)

    def linger(self, user: str, until: float) -> None:
        """Count a user as here until a time, although no connection shows it."""
        self._leaving[user] = until

    def users(self, connected: Iterable[str], now: float) -> list[str]:
        """Return who is here, in order of arrival: each user once.

        Parameters
        ----------
        connected : iterable of str
            The users of the connections, repeats included.
        now : float
            Ends the grace periods before it.
        """
        here = dict.fromkeys(connected)
        for user, until in list(self._leaving.items()):
            if user in here or until <= now:
                del self._leaving[user]
        here |= dict.fromkeys(self._leaving)
        self.here = list(here)
        for users in self.elsewhere.values():
            here |= dict.fromkeys(users)
        # Those about to leave keep their place until they do.
        return list(dict.fromkeys((*(user for user in self.announced if user in here), *here)))
