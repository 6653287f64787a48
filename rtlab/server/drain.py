"""Graceful shutdown: closes all connections of a server that stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtlab.server.connection_registry import Connections
from rtlab.server.sessions.session_registry_and_expiry import Sessions

__all__ = ["drain"]


async def drain(
    connections: Connections,
    sessions: Sessions,
    window: float,
    deadline: float,
    clock: Callable[[], float],
) -> None:
    """Close every connection with 1012: streams and polls at once, then the others, spread over the window.

    Parameters
    ----------
    connections, sessions : Connections and Sessions
        Those of the server that stops.
    window : float
        Seconds over which the close frames are spread, so that not all clients reconnect at once.
    deadline : float
        Seconds after the window until connections that are still open are aborted.
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
    # Also wait for clients' messages that the broker has not answered yet.
    while (connections.sinks or any(s.order.waiting for s in sessions)) and clock() < until:
        await asyncio.sleep(0.01)
    for sink in list(connections.sinks):
        sink.abort()
