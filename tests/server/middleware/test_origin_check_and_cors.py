"""The check of names and pages stands before every entrance, whatever the request asks for."""

from __future__ import annotations

import httpx
import pytest

from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.node import Node
from rtlab.server.server_options import Options

ENTRANCES = [
    ("GET", "/ws"),
    ("GET", "/sse"),
    ("GET", "/poll"),
    ("POST", "/send"),
    ("POST", "/rtc/offer"),
    ("POST", "/api/auth/token"),
    ("POST", "/api/auth/refresh"),
    ("POST", "/api/auth/ticket"),
]
REBOUND = [("Host", "evil.example")]
FOREIGN = [
    [("Origin", "http://evil.example")],
    [("Origin", "null")],
    [("Origin", "http://ada@127.0.0.1:{port}")],
    [("Origin", "http://127.0.0.1:{port}/path")],
    [("Origin", "https://127.0.0.1:{port}")],
    [("Origin", "http://127.0.0.1:{port}"), ("Origin", "http://127.0.0.1:{port}")],
    [("Origin", "http://127.0.0.1:{port}"), ("Origin", "http://evil.example")],
]


async def test_a_rebound_name_and_a_foreign_page_get_403_at_every_entrance() -> None:
    server = Server(Node(Options(token="t", security="right", poll_timeout=0.01)), "127.0.0.1", 0)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
            for method, path in ENTRANCES:
                own = [("Origin", f"http://127.0.0.1:{server.port}")]
                assert (await http.request(method, path, headers=own)).status_code != 403, path
                answer = await http.request(method, path, headers=REBOUND)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_host"), path
                for fields in FOREIGN:
                    headers = [(name, text.format(port=server.port)) for name, text in fields]
                    answer = await http.request(method, path, headers=headers)
                    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_origin"), (
                        path,
                        fields,
                    )
    finally:
        await server.stop()


@pytest.mark.parametrize("security", ["naive", "right"])
async def test_the_log_of_requests_is_bounded(security: str) -> None:
    node = Node(Options(token="t", security=security, poll_timeout=0.01))  # type: ignore[arg-type]
    server = Server(node, "127.0.0.1", 0)
    await server.start()
    try:
        most = node.access_log.maxlen
        assert most is not None
        node.access_log.extend("an earlier request" for _ in range(most))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
            await http.get("/poll?" + "x" * 6000)
        assert len(node.access_log) == most
        assert "/poll" in node.access_log[-1]
    finally:
        await server.stop()
