"""Writes the server's metrics in Prometheus' text format, anew for each scrape.

It needs no counters of its own: it reads those that the server keeps anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.server.latency_histogram_buckets import Histogram
from rtlab.server.node import Node
from rtlab.server.sinks.sink_interface import Sink
from rtlab.server.stats_report import read_stats

__all__ = ["CONTENT_TYPE", "STATES", "write_metrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

#: States of a connection: it takes messages, its buffer is full and frames wait, or it is being closed.
STATES: Final = ("open", "congested", "closing")


def write_metrics(node: Node) -> bytes:
    """Return the page.

    Parameters
    ----------
    node : Node
        The node of this process.

    Returns
    -------
    bytes
        The page in Prometheus' text format, version 0.0.4. Only ``rtlab_node_info`` names the node:
        a Prometheus server that scrapes several nodes labels the samples itself.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(node))
    return generate_latest(registry)


class _Page(Collector):
    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        node = self._node
        stats = read_stats(node)
        yield _gauge(
            "rtlab_node_info",
            "The node of this page, as a label; always 1.",
            {(node.options.node,): 1},
            "node",
        )
        yield _gauge("rtlab_ready", "1 while the server accepts new connections, else 0.", node.ready)
        yield _gauge("rtlab_uptime_seconds", "Seconds since the server started.", stats["uptime"])
        yield _counter(
            "process_cpu_seconds", "CPU time of the process, user and system.", stats["cpu_seconds"]
        )
        yield _gauge("process_resident_memory_bytes", "Resident memory of the process.", stats["rss_bytes"])
        yield _gauge("process_open_fds", "Open file descriptors of the process.", stats["descriptors"] or 0)
        yield from _connections(node)
        yield from _messages(node, stats)
        yield from _queues(node, stats)
        yield from _broker(node, stats["cluster"])
        yield _histogram(
            "rtlab_handling_seconds",
            "Time from reading a client's message until its answer, including the broker's.",
            node.ingress.handling,
        )
        yield _histogram(
            "rtlab_turn_seconds",
            "Delay of a timer that fires every 10 ms, every 100 ms on an idle server: "
            "one turn of the event loop took so long.",
            node.turn_meter.lateness,
        )
        yield _gauge(
            "rtlab_loop_lag_seconds",
            "Newest delay of the timer of rtlab_turn_seconds.",
            node.turn_meter.newest,
        )


def _connections(node: Node) -> Iterator[Metric]:
    connections = node.connections
    found = Counter((sink.transport, _state(sink)) for sink in connections.sinks)
    every = {(transport, state): found[transport, state] for transport in TRANSPORTS for state in STATES}
    text = "Open connections; for long polling, requests that wait for a message."
    yield _gauge("rtlab_connections", text, every, "transport", "state")
    waiting = sum(session.sink is None for session in node.sessions)
    states = {("connected",): len(node.sessions) - waiting, ("waiting",): waiting}
    yield _gauge(
        "rtlab_sessions",
        "Sessions that have a connection, or wait for the client to reconnect.",
        states,
        "state",
    )
    opened = {(name,): connections.opened[name] for name in TRANSPORTS if name != "longpoll"}
    yield _counter("rtlab_opened", "Connections opened; polls are not counted.", opened, "transport")
    text = "Connections ended, by close code; 1006: broken; none: the client closed an event stream."
    yield _counter("rtlab_disconnects", text, connections.ended, "transport", "code")
    text = "Clients that reconnected, by their former close code; unknown: the session is not on this node."
    came_back = {(code,): count for code, count in connections.reconnected.items()}
    yield _counter("rtlab_reconnects", text, came_back, "code")
    text = "Connections ended because the client did not answer a heartbeat."
    yield _counter("rtlab_heartbeats_missed", text, node.heartbeats.missed)
    yield _counter(
        "rtlab_handshakes_refused",
        "Handshakes refused because a limit of connections was reached.",
        node.handshakes_refused,
    )


def _state(sink: Sink) -> str:
    if getattr(sink, "closing", False):
        return "closing"
    return "congested" if sink.congested else "open"


def _messages(node: Node, stats: Mapping[str, Any]) -> Iterator[Metric]:
    yield _counter("rtlab_messages_received", "Messages received from clients.", stats["messages_received"])
    text = "Size of the messages received: bytes of binary ones, characters of text."
    yield _counter("rtlab_received_size", text, node.ingress.received_size)
    yield _counter("rtlab_messages_published", "Messages published to rooms.", stats["messages_published"])
    text = "Messages for clients, counted once for each recipient; a replay is not counted again."
    yield _counter("rtlab_messages_sent", text, node.sessions.numbered)
    written = node.connections.written_bytes()
    by_transport = {(name,): written[name] for name in TRANSPORTS if name != "longpoll"}
    yield _counter("rtlab_sent_bytes", "Bytes written to connections.", by_transport, "transport")
    policies = {(policy,): count for policy, count in stats["overflow"].items()}
    text = "By policy: messages dropped, clients disconnected, publishes that waited (block)."
    yield _counter("rtlab_overflow", text, policies, "policy")
    yield _counter("rtlab_rate_limited", "Messages refused by a rate limit.", stats["rate_limited"])


def _queues(node: Node, stats: Mapping[str, Any]) -> Iterator[Metric]:
    text = "Messages that wait because the buffers of their connections are full."
    yield _gauge("rtlab_queued_messages", text, stats["queued_messages"])
    yield _gauge(
        "rtlab_queued_bytes",
        "Bytes that wait for slow clients, including the transports' buffers.",
        stats["queued_bytes"],
    )
    yield _gauge(
        "rtlab_backlog_bytes",
        "Bytes that sessions keep for a replay after a reconnect.",
        stats["backlog_bytes"],
    )
    yield _gauge("rtlab_rooms", "Rooms that exist.", stats["rooms"])
    yield _gauge("rtlab_feeds", "Running feeds.", stats["feeds"])
    waiting = sum(session.order.waiting for session in node.sessions)
    text = "Clients' messages that wait for an answer of the broker, their own or an earlier one's."
    yield _gauge("rtlab_broker_waiting", text, waiting)


def _broker(node: Node, cluster: Mapping[str, Any] | None) -> Iterator[Metric]:
    if cluster is None:  # a server without a broker publishes in its own memory
        cluster = {
            "nodes": [node.options.node],
            "connected": True,
            "silence": 0,
            "takeovers": 0,
            "catch_ups": 0,
        }
    yield _gauge("rtlab_broker_nodes", "Live nodes, as known to this one.", len(cluster["nodes"]))
    yield _gauge(
        "rtlab_broker_connected", "1 while heartbeats return from the broker, else 0.", cluster["connected"]
    )
    text = "Seconds since the newest heartbeat that returned from the broker was sent."
    yield _gauge("rtlab_broker_silence_seconds", text, cluster["silence"] or 0)
    yield _counter(
        "rtlab_broker_takeovers", "Rooms that this node took over, with a new epoch.", cluster["takeovers"]
    )
    yield _counter(
        "rtlab_broker_catch_ups", "Requests for messages that this node had missed.", cluster["catch_ups"]
    )
    text = "Round-trip time of heartbeats to the broker."
    yield _histogram("rtlab_broker_trip_seconds", text, node.broker.trips or Histogram())


_Values = float | Mapping[Any, float]


def _samples(values: _Values) -> Iterable[tuple[tuple[str, ...], float]]:
    return values.items() if isinstance(values, Mapping) else [((), values)]


def _gauge(name: str, text: str, values: _Values, *labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for names, value in _samples(values):
        family.add_metric(names, value)
    return family


def _counter(name: str, text: str, values: _Values, *labels: str) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)  # "_total" is added
    for names, value in _samples(values):
        family.add_metric(names, value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric((), histogram.buckets(), histogram.total)
    return family
