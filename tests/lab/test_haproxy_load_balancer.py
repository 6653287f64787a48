"""A real HAProxy before three nodes, and real clients of all transports."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from rtlab.client.connection import Connection
from rtlab.client.event_emitter import Connected
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.transports.longpoll_transport import LongPollTransport
from rtlab.client.transports.sse_transport import SseTransport
from rtlab.client.transports.webrtc_transport import WebRTCTransport
from rtlab.client.transports.websocket_transport import WebSocketTransport
from rtlab.errors import LabError, NotConnected
from rtlab.lab.haproxy_load_balancer import Balancer
from rtlab.lab.haproxy_load_balancer_config import BALANCER_POLICIES
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Constant
from tests.held_ports import needs_held_ports, ports_held_here

if not Balancer.installed():
    pytest.skip("HAProxy is not installed: apt install haproxy", allow_module_level=True)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@needs_held_ports
async def test_its_ports_differ_and_are_reserved_until_it_stops(lab: Lab) -> None:
    nodes = [int(url.rpartition(":")[2]) for url in lab.urls]
    balancer = await Balancer.start(nodes)
    try:
        ports = {int(balancer.through(policy).rpartition(":")[2]) for policy in BALANCER_POLICIES}
        assert len(ports) == len(BALANCER_POLICIES)
        assert ports <= ports_held_here().keys()
    finally:
        await balancer.stop()
    assert not ports & ports_held_here().keys()


KINDS: Final[dict[str, tuple[Any, Any]]] = {
    "websocket": (WebSocketConnection, WebSocketTransport),
    "sse": (ServerSentEvents, SseTransport),
    "longpoll": (LongPolling, LongPollTransport),
    "webrtc": (WebRTCChannel, WebRTCTransport),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab(nodes=3) as started:
        yield started


def client(lab: Lab, name: str, policy: str, **options: Any) -> Connection:
    url = lab.balancer.through(policy)
    return KINDS[name][0](f"{url}/ws" if name == "websocket" else url, backoff=Constant(0), **options)


async def resumed_after_a_loss(conn: Connection, name: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Lose the connection, and return whether the session goes on: each node has only its own."""
    opened: list[Any] = []
    transport = KINDS[name][1]
    original = transport.open

    async def note(self: Any, resume: Any) -> Any:
        opened.append(self)
        return await original(self, resume)

    monkeypatch.setattr(transport, "open", note)
    back: asyncio.Queue[Connected] = asyncio.Queue()
    async with asyncio.timeout(60), conn:
        conn.on("connected", back.put_nowait)
        opened[-1].abort()
        return (await back.get()).resumed


@pytest.mark.parametrize("name", KINDS)
async def test_the_cookie_leads_back_to_the_same_node(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await resumed_after_a_loss(client(lab, name, "sticky_cookie"), name, monkeypatch)


async def test_without_one_a_reconnect_comes_to_another(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await resumed_after_a_loss(client(lab, "websocket", "round_robin"), "websocket", monkeypatch)


@pytest.mark.parametrize("name", ["sse", "longpoll"])
async def test_what_takes_several_requests_needs_stickiness(lab: Lab, name: str) -> None:
    async with asyncio.timeout(60):
        for policy in ("sticky_cookie", "consistent_hash", "modulo_hash"):
            async with client(lab, name, policy, client_id="me") as conn:
                assert (await conn.request("echo", policy)).payload == policy
        with pytest.raises(NotConnected):
            async with client(lab, name, "round_robin", client_id="me") as conn:
                await conn.request("echo", "nobody here knows the session")


async def test_where_connections_go_is_the_policys_choice(lab: Lab) -> None:
    balancer = lab.balancer
    conns = [client(lab, "websocket", "least_connections") for _ in range(6)]
    async with asyncio.timeout(60):
        try:
            await balancer.set_state(1, "maint")
            for conn in conns[:4]:
                await conn.connect()
            assert await balancer.connections("least_connections") == [2, 0, 2]
            await balancer.set_state(1, "ready")
            assert await balancer.connections("least_connections") == [2, 0, 2]  # nobody moves
            for conn in conns[4:]:
                await conn.connect()
            assert await balancer.connections("least_connections") == [2, 2, 2]

            lost: asyncio.Queue[object] = asyncio.Queue()
            for conn in conns:
                conn.on("disconnected", lost.put_nowait)
            await balancer.set_state(0, "maint")
            await balancer.cut(0)
            for _ in range(2):
                await lost.get()
            while await balancer.connections("least_connections") != [0, 3, 3]:
                await asyncio.sleep(0.01)
        finally:
            for node in (0, 1):
                await balancer.set_state(node, "ready")
            await asyncio.gather(*(conn.close() for conn in conns))


async def test_a_node_that_ends_is_noticed_and_taken_back(lab: Lab) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as http:
        lab.kill(2)
        try:
            # Nobody is refused meanwhile: who finds a closed port is sent on.
            answers = [await http.get(f"{lab.balancer.through('round_robin')}/healthz") for _ in range(6)]
            assert {answer.headers["x-node"] for answer in answers} == {"node-1", "node-2"}
            await lab.balancer.until_up(2, up=False)
        finally:
            await lab.restart(2)
        await lab.balancer.until_up(2)


async def test_a_node_that_stands_still_is_no_dead_one(lab: Lab) -> None:
    asked = lab.balancer._rows
    os.kill(lab.pids[2], signal.SIGSTOP)
    try:
        async with asyncio.timeout(60):
            while not (await asked("round_robin"))[2]["check_status"].startswith("*"):
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.5)  # seven times the interval between two questions
        assert (await asked("round_robin"))[2]["status"] == "UP"
    finally:
        os.kill(lab.pids[2], signal.SIGCONT)


async def test_bad_words_are_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match="consistent_hash"):
        lab.balancer.through("fastest")
    with pytest.raises(LabError, match="from 0 to 2, got 3"):
        await lab.balancer.cut(3)
    wrong: Any = "gone"
    with pytest.raises(LabError, match="refused"):
        await lab.balancer.set_state(0, wrong)


async def test_one_node_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Lab()
    with pytest.raises(LabError, match="new"):
        _ = alone.balancer
    monkeypatch.setattr(alone, "_state", "running")
    with pytest.raises(LabError, match="apt install haproxy"):
        _ = alone.balancer
