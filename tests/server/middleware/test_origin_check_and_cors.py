"""The check of names and pages stands before every entrance, whatever the request asks for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.connect_request_parser import ConnectRequest
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
                assert "Access-Control-Allow-Origin" not in answer.headers
                for fields in FOREIGN:
                    headers = [(name, text.format(port=server.port)) for name, text in fields]
                    answer = await http.request(method, path, headers=headers)
                    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_origin"), (
                        path,
                        fields,
                    )
                    assert "Access-Control-Allow-Origin" not in answer.headers
    finally:
        await server.stop()


async def test_a_page_that_is_allowed_may_read_why_it_is_refused() -> None:
    """Without CORS headers a browser's program hears of a network error, and of nothing else."""
    allowed = "https://lab.example"
    options = Options(token="t", origins=frozenset({allowed}), max_connections=0, poll_timeout=0.01)
    server = Server(node := Node(options), "127.0.0.1", 0)
    await server.start()
    try:
        session = node.connections.accept(ConnectRequest(user="ada")).session
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:

            async def said(status: int, method: str, url: str, **more: Any) -> httpx.Headers:
                answer = await http.request(method, url, headers={"Origin": allowed}, **more)
                assert answer.status_code == status
                assert answer.headers["Access-Control-Allow-Origin"] == allowed
                assert answer.headers["Vary"] == "Origin"
                return answer.headers

            await said(403, "GET", f"/poll?session={session.session_id}&user=eve")
            url = f"/send?session={session.session_id}"
            for status in (400, 400, 400, 400, 403):  # the fifth ends the session
                await said(status, "POST", url, content=b"{")
            headers = await said(503, "GET", "/poll")
            assert headers["Retry-After"]
            assert headers["Access-Control-Expose-Headers"] == "Retry-After"
            headers = await said(204, "OPTIONS", "/send")
            assert "Idempotency-Key" in headers["Access-Control-Allow-Headers"]
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
