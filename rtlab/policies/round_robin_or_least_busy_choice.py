"""Which member of a connection pool gets the next message: three policies.

Each policy is frozen, and decides only by the arguments of `choose(members, turn, key)`; it has no
access to connections. Round robin spreads messages evenly but may reorder them; a hash keeps all
messages of one key on one member, and so in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

__all__ = ["HashByKey", "LeastBusy", "PoolChoice", "PoolMember", "RoundRobin"]


class PoolMember(msgspec.Struct, frozen=True):
    """One member of the pool that can take a message, as a policy sees it.

    Parameters
    ----------
    name : str
        The member's name, which stays the same across reconnects.
    busy : int
        The member's unfinished messages: waiting writes, and requests without an answer.
    """

    name: str
    busy: int = 0


class PoolChoice(Protocol):
    """The interface of a policy that chooses a member."""

    def choose(self, members: Sequence[PoolMember], turn: int, key: str | None) -> PoolMember:
        """Return one of the members.

        Parameters
        ----------
        members : sequence of PoolMember
            The members that can take a message; at least one.
        turn : int
            How many messages were assigned before.
        key : str or None
            The message's key; messages with the same key belong together.
        """
        ...


@dataclass(frozen=True)
class RoundRobin:
    """The members in turn: the count is even, but the load is ignored.

    Examples
    --------
    >>> members = [PoolMember("a"), PoolMember("b")]
    >>> [RoundRobin().choose(members, turn, None).name for turn in range(3)]
    ['a', 'b', 'a']
    """

    def choose(self, members: Sequence[PoolMember], turn: int, key: str | None) -> PoolMember:
        """Return the member whose turn it is."""
        return members[turn % len(members)]


@dataclass(frozen=True)
class LeastBusy:
    """The member with the fewest unfinished messages; members with equally few in turn.

    Examples
    --------
    >>> LeastBusy().choose([PoolMember("a", 3), PoolMember("b", 1)], 0, None).name
    'b'
    """

    def choose(self, members: Sequence[PoolMember], turn: int, key: str | None) -> PoolMember:
        """Return a member with the fewest unfinished messages."""
        least = min(member.busy for member in members)
        free = [member for member in members if member.busy == least]
        return free[turn % len(free)]


@dataclass(frozen=True)
class HashByKey:
    """The same member for the same key, by rendezvous hashing (Thaler and Ravishankar, 1998).

    The member with the highest hash of (key, member's name) gets the message. When a member leaves
    the pool, only its keys move; when it returns, they return. A message without a key is refused.

    Examples
    --------
    >>> members = [PoolMember("a"), PoolMember("b"), PoolMember("c")]
    >>> {HashByKey().choose(members, turn, "user-7").name for turn in range(9)}
    {'c'}
    """

    def choose(self, members: Sequence[PoolMember], turn: int, key: str | None) -> PoolMember:
        """Return the member that the key belongs to.

        Raises
        ------
        ValueError
            The key is None or not a string.
        """
        text: object = key
        if not isinstance(text, str):
            raise ValueError(f"HashByKey needs key='…', a string: what a message is about; got {key!r:.80}")
        return max(members, key=lambda member: _hash(text, member.name))


def _hash(key: str, name: str) -> bytes:
    # The key's length is hashed too, so that ("ab", "c") and ("a", "bc") have different hashes.
    said = key.encode(errors="surrogatepass")
    return hashlib.blake2b(len(said).to_bytes(8, "big") + said + name.encode(), digest_size=8).digest()
