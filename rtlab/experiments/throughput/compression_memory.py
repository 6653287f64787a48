"""How much memory compression takes for each connection of a server, measured as resident memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

from rtlab.experiments.throughput.compressed_delivery_cost import connect_readers
from rtlab.protocol.message_format import Message
from rtlab.protocol.permessage_deflate import Deflate

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["ConnectionMemory", "measure_memory"]

_PLAIN = "plain"


class ConnectionMemory(NamedTuple):
    """Bytes by which a compressed connection takes more memory than a plain one.

    Parameters
    ----------
    idle : float
        Bytes after the handshake.
    used : float
        Bytes after the feed has been sent.
    """

    idle: float
    used: float


async def measure_memory(
    lab: Lab, kinds: Mapping[str, Deflate], feed: Sequence[Message], readers: int = 24
) -> dict[str, ConnectionMemory]:
    """Connect groups of readers to new server processes, and measure by how much their memory grows.

    Parameters
    ----------
    lab : Lab
        A running lab. Its server is restarted once for each memory level, with almost no history, and at
        the end once more with its original options.
    kinds : mapping of str to Deflate
        Name → compression that the readers of one group negotiate with the server.
    feed : sequence of Message
        Messages that each reader receives: at least 70 kB, so that the largest window is filled.
    readers : int
        Readers in each group. All stay connected until the end, because the next group would reuse freed
        memory and its growth would be underestimated.

    Returns
    -------
    dict
        Name of the kind → memory per connection.
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
    # The server still loads code while the first group connects: that one is a warm-up and not counted.
    groups: list[tuple[str, Deflate | None]] = [("warm", None), (_PLAIN, None), *kinds.items()]
    async with AsyncExitStack() as stack:
        for name, deflate in groups:
            before = await _resident(lab)
            there = await stack.enter_async_context(connect_readers(lab, name, readers, deflate))
            idle = await _resident(lab)
            await there.publish(feed)
            used = await _resident(lab)
            grown[name] = (idle - before) / readers, (used - before) / readers
    return grown


async def _resident(lab: Lab) -> int:
    return (await lab.stats())["rss_bytes"]
