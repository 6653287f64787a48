"""Which nodes live, as seen by one node, and whether that node may act as an owner. No I/O.

A node sends a heartbeat every `Timings.beat` seconds. To the others it is dead when its process has ended
(reported by `LifeLines`), or after `Timings.dead` seconds without a heartbeat. The node itself stops acting
as an owner `Timings.lease` seconds after it sent the newest heartbeat that came back to it. The lease is
shorter than `dead`, so a node that was stopped finds its right ended when it looks, after it wakes. What it
sends if it was stopped between that look and the sending has an older epoch than the new owner's, and is
refused by all who know that one. Clocks need not agree: each node measures with its own.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from rtlab.server.brokers.cluster.rendezvous_room_owner import owner_of

__all__ = ["Membership", "Timings"]

#: Owners of rooms that are cached; the cache is cleared when the set of living nodes changes.
_REMEMBERED: Final = 20_000
#: Ended processes that are remembered.
_ENDED: Final = 1000


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How soon a silent node is noticed; seconds.

    Parameters
    ----------
    beat : float
        Interval between two heartbeats of a node.
    lease : float
        How long a node may act as an owner after it sent a heartbeat that came back.
    dead : float
        Silence after which a node counts as dead: longer than the lease.
    """

    beat: float = 0.2
    lease: float = 1.2
    dead: float = 1.5


class Membership:
    """The living nodes, as one node sees them.

    Parameters
    ----------
    me : str
        This node's name.
    clock : callable
        Seconds, monotonic.
    timings : Timings
        Interval of heartbeats, lease, and timeout.

    Attributes
    ----------
    me, my_life : str
        This node's name, and the name of its process.
    ready : bool
        Whether this node has found the other nodes; before that it owns no room.
    term : int
        The highest term of an epoch that is known; the next epoch gets a higher one.

    Examples
    --------
    >>> members = Membership("a", lambda: 0.0, Timings())
    >>> members.heard("b", "b's first life"), members.heard("b", "b's first life"), members.living
    (True, False, ['a', 'b'])
    """

    def __init__(self, me: str, clock: Callable[[], float], timings: Timings) -> None:
        self.me = me
        self.my_life = secrets.token_hex(8)
        self.ready = False
        self.term = 0
        self._clock = clock
        self._timings = timings
        self._lives: dict[str, str] = {}
        self._heard: dict[str, float] = {}
        self._ended: dict[str, None] = {}
        self._echoed: float | None = None
        self._owners: dict[str, str | None] = {}

    @property
    def living(self) -> list[str]:
        """The names of all living nodes, this one included, sorted."""
        return sorted([self.me, *self._lives])

    @property
    def connected(self) -> bool:
        """Whether this node's own heartbeats come back; if not, it is cut off and must not act as owner."""
        silence = self.silence
        return silence is not None and silence < self._timings.lease

    @property
    def silence(self) -> float | None:
        """Seconds since this node sent the newest heartbeat that came back; None before the first."""
        return None if self._echoed is None else self._clock() - self._echoed

    @property
    def leads(self) -> bool:
        """Whether this node may act as an owner."""
        return self.ready and self.connected

    @property
    def lives(self) -> list[str]:
        """The names of the other nodes' processes."""
        return list(self._lives.values())

    def life(self, node: str) -> str | None:
        """Return the name of a node's living process; None for a node that is not known."""
        return self.my_life if node == self.me else self._lives.get(node)

    def owner(self, room_id: str) -> str | None:
        """Return a room's owner, as far as this node knows."""
        owners = self._owners
        if room_id not in owners:
            if len(owners) >= _REMEMBERED:
                owners.clear()
            owners[room_id] = owner_of(room_id, self.living)
        return owners[room_id]

    def echoed(self, sent: float) -> bool:
        """Note that a heartbeat of this node has come back; return True if the node was cut off before.

        Parameters
        ----------
        sent : float
            When the heartbeat was sent, on this node's clock.
        """
        was = self.connected
        self._echoed = sent if self._echoed is None else max(sent, self._echoed)
        back = self.connected and not was
        if back:  # it could hear no node meanwhile: their silence does not count
            self._heard = dict.fromkeys(self._heard, self._clock())
        return back

    def heard(self, node: str, life: str) -> bool:
        """Note another node's heartbeat; return True if the set of living nodes changed.

        Parameters
        ----------
        node, life : str
            The node's name, and its process's: a node that was restarted owns nothing yet. A late heartbeat
            of a process that has ended is ignored.
        """
        if life in self._ended:
            return False
        self._heard[node] = self._clock()
        changed = self._lives.get(node) != life
        if changed:
            self._lives[node] = life
            self._owners.clear()
        return changed

    def gone(self, node: str, life: str) -> bool:
        """Note that a node's process has ended or announces its end; return True if the node was living."""
        self._ended[life] = None
        if len(self._ended) > _ENDED:
            del self._ended[next(iter(self._ended))]
        if self._lives.get(node) != life:
            return False
        self._forget(node)
        return True

    @property
    def next_death(self) -> float:
        """When the first of the other nodes will have been silent for too long, on this node's clock.

        Infinite without another node, and while this node is cut off: then silence means nothing.
        """
        if not self.connected:
            return math.inf
        return min(self._heard.values(), default=math.inf) + self._timings.dead

    def expire(self) -> list[str]:
        """Forget, and return, the nodes that were silent for too long; none while this one is cut off."""
        if self._clock() < self.next_death:
            return []
        before = self._clock() - self._timings.dead
        dead = [node for node, heard in self._heard.items() if heard <= before]
        for node in dead:
            self._forget(node)
        return dead

    def _forget(self, node: str) -> None:
        del self._lives[node], self._heard[node]
        self._owners.clear()
