"""Builds what ``/stats`` returns: the server's resources, counters and cluster, for leak checks and CPU."""

from __future__ import annotations

import asyncio
from collections import Counter
from heapq import nlargest
from typing import Any, Final

import psutil

from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.server.node import Node

__all__ = ["read_stats"]

#: Clients that ``slowest`` lists.
_NAMED: Final = 10


def read_stats(node: Node) -> dict[str, Any]:
    """Return the node's counters and, of its process, ``rss_bytes`` and ``cpu_seconds`` since it started.

    Parameters
    ----------
    node : Node
        The node of this process.
    """
    sinks, sessions = node.connections.sinks, node.sessions
    connections = Counter(sink.transport for sink in sinks)
    process = psutil.Process()
    cpu = process.cpu_times()
    return {
        "node": node.options.node,
        "pid": process.pid,
        "uptime": node.clock() - node.started,
        "tasks": len(asyncio.all_tasks()),
        "descriptors": process.num_fds() if hasattr(process, "num_fds") else None,
        "rss_bytes": process.memory_info().rss,
        "cpu_seconds": cpu.user + cpu.system,
        "sessions": len(sessions),
        "connections": {name: connections[name] for name in TRANSPORTS},
        "rooms": len(node.hub),
        "feeds": sum(len(session.feeds) for session in sessions),
        "queued_messages": sum(session.held[0] for session in sessions),
        "queued_bytes": sum(sink.queued_bytes for sink in sinks) + sum(s.held[1] for s in sessions),
        # Clients with the longest send queues: "client", "messages" and "bytes" of each.
        "slowest": _slowest(node),
        "backlog_bytes": sum(session.backlog_bytes for session in sessions),
        "messages_received": node.ingress.received,
        "rate_limited": sum(limit.refused for limit in node.rate_limits),
        "messages_published": node.hub.published,
        "slow_clients": node.overflow.counts["disconnect"],
        # By policy: messages dropped, clients cut off, or publishes that waited.
        "overflow": dict(node.overflow.counts),
        # Seconds that the longest turns of the event loop took, and how many took more than 50 ms.
        "turns": node.turn_meter.report(),
        # The cluster as this node sees it; None for a server without a broker.
        "cluster": node.broker.report(),
        "handshakes_refused": node.handshakes_refused,
    }


def _slowest(node: Node) -> list[dict[str, Any]]:
    """Return the clients with the longest send queues, the longest first; without clients that keep up."""
    waiting = ((*session.held, session.client_id) for session in node.sessions if session.held[0])
    return [
        {"client": client, "messages": messages, "bytes": size}
        for messages, size, client in nlargest(_NAMED, waiting)
    ]
