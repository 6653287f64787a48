"""Which nodes live, as one of them hears it, and whether it may still act as an owner. No I/O.

A node beats every `Timings.beat` seconds. Others take it for dead when its process has ended (`LifeLines`
tells them), or after `Timings.dead` seconds without a beat; the node itself stops acting as an owner
`Timings.lease` seconds after it sent the last beat that came back to it. The lease is shorter, so two nodes
never own a room at once, however long one of them was stopped, and whatever the clocks say: each measures
with its own.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from rtlab.server.brokers.cluster.rendezvous import owner_of

__all__ = ["Membership", "Timings"]

#: Owners that are remembered; they are computed anew when the living change.
_REMEMBERED: Final = 20_000
#: Processes that are known to have ended.
_ENDED: Final = 1000


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How soon a silent node is noticed; seconds.

    Parameters
    ----------
    beat : float
        Between two heartbeats.
    lease : float
        How long a node may act as an owner after it sent a beat that came back.
    dead : float
        Silence after which a node counts as dead: longer than the lease.
    """

    beat: float = 0.2
    lease: float = 1.2
    dead: float = 1.5


class Membership:
    """The nodes that one node hears.

    Parameters
    ----------
    me : str
        This node's name.
    clock : callable
        Seconds, monotonic.
    timings : Timings
        Intervals.

    Attributes
    ----------
    me, my_life : str
        This node's name, and the name of its process.
    ready : bool
        Whether this node knows the others: before it owns nothing.
    term : int
        The highest number of an epoch that is known.

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
        """The names of all nodes that live, this one included, sorted."""
        return sorted([self.me, *self._lives])

    @property
    def connected(self) -> bool:
        """Whether this node's own beats come back: else it is cut off, and may not act as an owner."""
        silence = self.silence
        return silence is not None and silence < self._timings.lease

    @property
    def silence(self) -> float | None:
        """Seconds since the newest of this node's beats that came back was sent; None before the first."""
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
        """Return which process of that name lives."""
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
        """Note that a beat of this node has come back; True when it was cut off before.

        Parameters
        ----------
        sent : float
            When it was sent, on this node's clock.
        """
        was = self.connected
        self._echoed = sent if self._echoed is None else max(sent, self._echoed)
        back = self.connected and not was
        if back:  # nobody was heard meanwhile, which says nothing about them
            self._heard = dict.fromkeys(self._heard, self._clock())
        return back

    def heard(self, node: str, life: str) -> bool:
        """Note a beat of another node; True when the living changed.

        Parameters
        ----------
        node, life : str
            Its name, and the name of its process: a node that was started anew owns nothing yet. What an
            ended one had sent may come late, and says nothing.
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
        """Note that a node's process has ended, or says that it does; True when the living changed."""
        self._ended[life] = None
        if len(self._ended) > _ENDED:
            del self._ended[next(iter(self._ended))]
        if self._lives.get(node) != life:
            return False
        self._forget(node)
        return True

    @property
    def next_death(self) -> float:
        """When the first of the other nodes has been silent for too long, on this node's clock.

        Infinite without another node, and while this one is cut off: then silence says nothing.
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
