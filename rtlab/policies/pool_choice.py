"""Which member of a pool gets the next message: three policies.

Each is frozen, and decides over what it is shown: `choose(members, turn, key)`. None of them
knows a connection. Round robin spreads evenly and reorders; a hash keeps each key's messages
on one member, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

__all__ = ["HashByKey", "LeastBusy", "PoolChoice", "PoolMember", "RoundRobin"]


class PoolMember(msgspec.Struct, frozen=True):
    """What a policy is shown of one member that can take a message.

    Parameters
    ----------
    name : str
        Stays the same across reconnects.
    busy : int
        Messages that it has not finished: writes that wait, requests without an answer.
    """

    name: str
    busy: int = 0


class PoolChoice(Protocol):
    """How the next member is chosen."""

    def choose(self, members: Sequence[PoolMember], turn: int, key: str | None) -> PoolMember:
        """Return one of the members.

        Parameters
        ----------
        members : sequence of PoolMember
            Those that can take a message; at least one.
        turn : int
            How many messages were given out before.
        key : str or None
            What the message is about.
        """
        ...


@dataclass(frozen=True)
class RoundRobin:
    """One after the other: even, and blind to what takes long.

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
    """The one with the fewest unfinished messages; among equals, one after the other.

    Examples
    --------
    >>> LeastBusy().choose([PoolMember("a", 3), PoolMember("b", 1)], 0, None).name
    'b'
    """

    def choose(self, members: Sequence[PoolMember], turn: int, key: str | None) -> PoolMember:
        """Return a member that is least busy."""
        least = min(member.busy for member in members)
        free = [member for member in members if member.busy == least]
        return free[turn % len(free)]


@dataclass(frozen=True)
class HashByKey:
    """The same key, the same member: rendezvous hashing (Thaler and Ravishankar, 1998).

    The member with the highest hash of (key, its name) gets the message. When a member goes,
    only its keys move; when it comes back, they return. A message without a key is refused.

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
            There is no key, or it is no string.
        """
        text: object = key
        if not isinstance(text, str):
            raise ValueError(f"HashByKey needs key='…', a string: what a message is about; got {key!r:.80}")
        return max(members, key=lambda member: _hash(text, member.name))


def _hash(key: str, name: str) -> bytes:
    # The key's length first: ("ab", "c") and ("a", "bc") are two pairs.
    said = key.encode(errors="surrogatepass")
    return hashlib.blake2b(len(said).to_bytes(8, "big") + said + name.encode(), digest_size=8).digest()
