"""Which node a load balancer assigns each key to, found by sending requests through the balancer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlsplit

from rtlab.errors import LabError

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["MovedKeys", "join_moves", "nodes_of"]

_CONNECTIONS: Final = 8
_TIMEOUT: Final = 30.0


class MovedKeys(NamedTuple):
    """How many keys moved to another node when a node joined.

    Parameters
    ----------
    share : float
        Share of all keys that were assigned to another node than before.
    among_others : float
        Share of all keys that moved between two of the existing nodes.
    keys : int
        Number of keys.
    """

    share: float
    among_others: float
    keys: int


async def nodes_of(url: str, keys: Sequence[str]) -> list[str]:
    """Return the node to which the balancer routes each ``clientId``.

    Parameters
    ----------
    url : str
        URL of the balancer for one policy, from `Balancer.through`.
    keys : sequence of str
        Client ids.

    Returns
    -------
    list of str
        Name of the node for each key, such as ``"node-1"``.

    Raises
    ------
    LabError
        When the keys were not all answered in time, or an answer does not name a node.
    """
    where = urlsplit(url)
    found: dict[str, str] = {}

    async def ask(some: Sequence[str]) -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            for key in some:
                writer.write(f"HEAD /healthz?clientId={quote(key)} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                found[key] = _node(head)
        finally:
            writer.close()

    try:
        async with asyncio.timeout(_TIMEOUT):
            await asyncio.gather(*(ask(keys[n::_CONNECTIONS]) for n in range(_CONNECTIONS)))
    except TimeoutError:
        raise LabError(
            f"{len(found)} of {len(keys)} questions were answered within {_TIMEOUT:g} s: "
            "look at `lab.check()`, and run this cell again"
        ) from None
    return [found[key] for key in keys]


async def join_moves(lab: Lab, policy: str, keys: Sequence[str], joining: int = -1) -> MovedKeys:
    """Let a node join the others, and return which share of the keys moved.

    Parameters
    ----------
    lab : Lab
        A lab with several nodes. All of them are in the balancer's rotation again afterwards.
    policy : str
        ``"consistent_hash"`` or ``"modulo_hash"``.
    keys : sequence of str
        Client ids.
    joining : int
        Index of the node that joins; the last by default.

    Returns
    -------
    MovedKeys
    """
    node = joining % len(lab.urls)
    url, name = lab.balancer.through(policy), f"node-{node + 1}"
    await lab.balancer.restore()
    await lab.balancer.set_state(node, "maint")
    try:
        before = await nodes_of(url, keys)
    finally:
        await lab.balancer.set_state(node, "ready")
    await lab.balancer.until_up(node)
    after = await nodes_of(url, keys)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    return MovedKeys(len(moved) / len(keys), sum(new != name for new in moved) / len(keys), len(keys))


def _node(head: bytes) -> str:
    fields = head.decode("latin-1").lower().split("\r\n")
    name = next((field[8:] for field in fields if field.startswith("x-node: ")), "")
    if " 200 " not in fields[0] or not name:
        raise LabError(f"expected a node's answer, got {fields[0][:80]!r}: see `lab.check()`")
    return name
