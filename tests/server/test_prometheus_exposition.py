"""What a real server tells Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from tests.server.conftest import TOKEN, Child

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def scrape(server: Child) -> dict[tuple[str, ...], float]:
    answer = httpx.get(f"{server.url}/metrics", headers=HEADERS, trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = [s for family in text_string_to_metric_families(answer.text) for s in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples}


async def said(socket: Any, *messages: dict[str, Any], until: str) -> None:
    """Send messages, and wait for an answer of a type."""
    for message in messages:
        await socket.send(json.dumps(message))
    while json.loads(await socket.recv())["type"] != until:
        pass


async def test_the_page_counts_what_happened(start: Callable[..., Child]) -> None:
    server = start("--node", "n7", "--heartbeat", "0")
    before = scrape(server)
    assert before["rtlab_node_info", "n7"] == before["rtlab_ready",] == 1
    assert before["rtlab_messages_received_total",] == 0

    async with server.connect() as stays, server.connect() as leaves:
        joins = {"type": "join_room", "payload": {"roomId": "r"}, "id": "j"}
        for socket in (stays, leaves):
            await said(socket, joins, until="ack")
        await said(leaves, {"type": "chat", "roomId": "r", "payload": "hi", "id": "c"}, until="ack")
        during = scrape(server)
        assert during["rtlab_connections", "open", "websocket"] == 2
        assert during["rtlab_sessions", "connected"] == 2
        assert during["rtlab_messages_received_total",] == 3
        assert during["rtlab_messages_published_total",] == 1
        assert during["rtlab_handling_seconds_count",] == during["rtlab_handling_seconds_bucket", "+Inf"] == 3
        assert during["rtlab_turn_seconds_count",] > 0
        assert during["rtlab_messages_sent_total",] >= 4  # two acks, and "hi" twice
        assert during["rtlab_received_size_total",] > 3 * 20
        await leaves.close(3001)
        await leaves.wait_closed()
    after = scrape(server)
    assert after["rtlab_disconnects_total", "3001", "websocket"] == 1
    assert after["rtlab_disconnects_total", "1000", "websocket"] == 1
    assert after["rtlab_sent_bytes_total", "websocket"] > 4 * 20
    assert after["rtlab_opened_total", "websocket"] == 2


async def test_a_client_that_comes_back_is_counted_by_how_it_left(start: Callable[..., Child]) -> None:
    server = start("--heartbeat", "0")

    async def visit(query: str = "") -> str:
        async with server.connect(query) as socket:
            session = json.loads(await socket.recv())["payload"]["session"]
            await socket.close(3001)
            await socket.wait_closed()
        return session

    session = await visit()
    await visit(f"?session={session}&seq=0")
    await visit("?session=forgotten&seq=0")
    found = scrape(server)
    came_back = {key[1]: value for key, value in found.items() if key[0] == "rtlab_reconnects_total"}
    assert came_back == {"3001": 1, "unknown": 1}


def test_only_the_operator_reads_the_page(start: Callable[..., Child]) -> None:
    server = start()
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        assert http.get("/metrics").status_code == 401
        assert http.get("/metrics", headers={"Authorization": "Bearer guess"}).status_code == 401
        assert http.get("/readyz").json() == {"status": "ready"}


def test_a_node_among_others_tells_how_its_broker_is(start: Callable[..., Child]) -> None:
    found = scrape(start("--broker", "memory://here", "--node", "n7"))
    assert found["rtlab_broker_nodes",] == found["rtlab_broker_connected",] == found["rtlab_ready",] == 1
    assert found["rtlab_broker_trip_seconds_count",] >= 1
    assert found["rtlab_broker_silence_seconds",] < 60


class CutOff(SingleNodeBroker):
    def report(self) -> Any:
        return {"connected": False}


def test_a_node_that_stops_or_is_full_or_is_cut_off_is_not_ready() -> None:
    node = Node(Options(token="t"))
    assert node.ready
    assert not Node(Options(token="t"), make_broker=CutOff).ready
    node.stopping = True
    assert not node.ready
    assert not Node(Options(token="t", max_connections=0)).ready
