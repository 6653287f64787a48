"""Which node owns a room: rendezvous hashing (Thaler and Ravishankar, 1998). No I/O.

Every node computes the same owner from the same list of nodes. When a node joins or leaves, only
the rooms that it gets or had change their owner: one room in n.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

__all__ = ["owner_of"]


def owner_of(room_id: str, nodes: Iterable[str]) -> str | None:
    """Return the node for which the hash of node and room is highest.

    Parameters
    ----------
    room_id : str
        The room.
    nodes : iterable of str
        The names of the living nodes, in any order.

    Returns
    -------
    str or None
        None when there is no node.

    Examples
    --------
    >>> owner_of("lobby", ["node-1", "node-2", "node-3"])
    'node-3'
    """
    return max(nodes, key=lambda node: (_weight(room_id, node), node), default=None)


def _weight(room_id: str, node: str) -> bytes:
    return blake2b(f"{node}\0{room_id}".encode(), digest_size=8).digest()
