"""How a server that stops says goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtlab.server.session_connections import Connections
from rtlab.server.session_registry import Sessions

__all__ = ["drain"]


async def drain(
    connections: Connections,
    sessions: Sessions,
    window: float,
    deadline: float,
    clock: Callable[[], float],
) -> None:
    """End every connection: streams and polls first, then 1012, spread over the window.

    Parameters
    ----------
    connections, sessions : Connections and Sessions
        Of the server that stops.
    window : float
        Seconds over which the close frames are spread, so that not all clients return at once.
    deadline : float
        Seconds after the window until those that did not leave are cut off.
    clock : callable
        Seconds, monotonic.
    """
    feeds = [feed for session in sessions for feed in session.feeds.values()]
    for feed in feeds:
        feed.stop()
    for feed in feeds:
        await feed.wait()
    first = [sink for sink in connections.sinks if sink.transport in ("sse", "longpoll")]
    for sink in first:
        sink.close(1012, "the server restarts")
    await asyncio.sleep(0)
    rest = [sink for sink in connections.sinks if sink not in set(first)]
    begin = clock()
    for n, sink in enumerate(rest):
        delay = begin + window * n / len(rest) - clock()
        if delay > 0.001:
            await asyncio.sleep(delay)
        sink.close(1012, "the server restarts")
    until = clock() + deadline
    # Messages that a broker has not answered for are waited for as well.
    while (connections.sinks or any(s.order.waiting for s in sessions)) and clock() < until:
        await asyncio.sleep(0.01)
    for sink in list(connections.sinks):
        sink.abort()
