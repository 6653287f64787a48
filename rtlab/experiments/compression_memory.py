"""How much memory compression holds for each connection of a server, as the system counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

from rtlab.experiments.compressed_fanout import crowd
from rtlab.protocol.deflate import Deflate
from rtlab.protocol.messages import Message

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["ConnectionMemory", "measure_memory"]

_PLAIN = "plain"


class ConnectionMemory(NamedTuple):
    """Bytes that a compressed connection holds more than a plain one.

    Parameters
    ----------
    idle : float
        After the handshake.
    used : float
        After the feed.
    """

    idle: float
    used: float


async def measure_memory(
    lab: Lab, kinds: Mapping[str, Deflate], feed: Sequence[Message], readers: int = 24
) -> dict[str, ConnectionMemory]:
    """Connect crowds of readers to fresh servers, and see by how much these grow.

    Parameters
    ----------
    lab : Lab
        Its server is restarted, once for each memory level, with next to no history; at the
        end once more, as it was.
    kinds : mapping of str to Deflate
        What the readers of a crowd agree on with the server.
    feed : sequence of Message
        What each reader gets: 70 kB and more, or the largest window is not filled.
    readers : int
        In each crowd. All stay until the end: what is given back would be counted again.

    Returns
    -------
    dict
        A row for each kind.
    """
    found: dict[str, ConnectionMemory] = {}
    try:
        for level in sorted({deflate.memory_level for deflate in kinds.values()}):
            await lab.restart(
                compression=Deflate(memory_level=level),
                heartbeat=3600,
                history_messages=1,
                backlog_messages=1,
            )
            same = {name: deflate for name, deflate in kinds.items() if deflate.memory_level == level}
            grown = await _grown(lab, same, feed, readers)
            plain = grown.pop(_PLAIN)
            for name, (idle, used) in grown.items():
                found[name] = ConnectionMemory(idle - plain[0], used - plain[1])
    finally:
        await lab.restart()
    return {name: found[name] for name in kinds}


async def _grown(
    lab: Lab, kinds: Mapping[str, Deflate], feed: Sequence[Message], readers: int
) -> dict[str, tuple[float, float]]:
    grown: dict[str, tuple[float, float]] = {}
    # The first crowd meets a server that still loads code: it warms up, and the second counts.
    crowds: list[tuple[str, Deflate | None]] = [("warm", None), (_PLAIN, None), *kinds.items()]
    async with AsyncExitStack() as stack:
        for name, deflate in crowds:
            before = await _resident(lab)
            there = await stack.enter_async_context(crowd(lab, name, readers, deflate))
            idle = await _resident(lab)
            await there.publish(feed)
            used = await _resident(lab)
            grown[name] = (idle - before) / readers, (used - before) / readers
    return grown


async def _resident(lab: Lab) -> int:
    return (await lab.stats())["rss_bytes"]
