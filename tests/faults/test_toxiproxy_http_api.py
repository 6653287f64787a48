"""The HTTP API: what Toxiproxy's clients expect, and what web pages must not do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from rtlab.faults.proxy.proxy_collection import Collection
from rtlab.faults.toxiproxy_http_api import VERSION, make_app
from tests.faults.conftest import eventually


@pytest.fixture
async def http(api: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api, trust_env=False) as client:
        yield client


async def create(http: httpx.AsyncClient, echo: str, **fields: Any) -> dict[str, Any]:
    response = await http.post("/proxies", json={"name": "p", "upstream": echo, **fields})
    assert response.status_code == 201
    return response.json()


async def test_toxiproxy_python_drives_it(api: str, echo: str) -> None:
    await asyncio.to_thread(drive, api, echo)


def drive(api: str, echo: str) -> None:
    """Every call that PyPI's toxiproxy-python has."""
    server = Toxiproxy()
    host, port = api.removeprefix("http://").split(":")
    server.update_api_consumer(host, int(port))
    assert server.running()
    assert server.version() == f'{{"version": "{VERSION}"}}\n'.encode()
    assert server.proxies() == {}

    proxy = server.create(name="echo", upstream=echo)
    assert (proxy.name, proxy.upstream, proxy.enabled) == ("echo", echo, True)
    with pytest.raises(ProxyExists):
        server.create(name="echo", upstream=echo)

    proxy.add_toxic(type="latency", attributes={"latency": 30, "jitter": 0})
    toxic = proxy.get_toxic("latency_downstream")
    assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 1.0)
    assert toxic.attributes == {"latency": 30, "jitter": 0}
    proxy.add_toxic(name="mine", type="bandwidth", stream="upstream", toxicity=0.5, attributes={"rate": 9})
    assert list(proxy.toxics()) == ["mine", "latency_downstream"]
    assert proxy.destroy_toxic("mine")
    with pytest.raises(NotFound):
        proxy.destroy_toxic("mine")
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="nonsense")

    with proxy.down():
        assert not server.get_proxy("echo").enabled
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(proxy.listen.split(":"))
    with socket.create_connection(proxy.listen.split(":")) as client:
        client.sendall(b"hi")
        assert client.recv(2) == b"hi"

    server.populate([{"name": "two", "upstream": echo, "listen": "127.0.0.1:0"}])
    assert sorted(server.proxies()) == ["echo", "two"]
    assert server.reset()
    assert server.get_proxy("echo").toxics() == {}
    server.destroy_all()
    assert server.proxies() == {}


async def test_shapes(http: httpx.AsyncClient, echo: str) -> None:
    proxy = await create(http, echo)
    assert proxy == {"name": "p", "listen": proxy["listen"], "upstream": echo, "enabled": True, "toxics": []}
    response = await http.post("/proxies/p/toxics", json={"type": "latency", "attributes": {"latency": 1}})
    toxic = {
        "attributes": {"latency": 1, "jitter": 0},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1,
    }
    assert (response.status_code, response.json()) == (200, toxic)
    assert (await http.get("/proxies/p/toxics")).json() == [toxic]
    assert (await http.get("/proxies/p/toxics/latency_downstream")).json() == toxic
    for method in ("POST", "PATCH"):
        body = {"attributes": {"jitter": 2}, "toxicity": 0.5}
        response = await http.request(method, "/proxies/p/toxics/latency_downstream", json=body)
        assert response.json() == {**toxic, "attributes": {"latency": 1, "jitter": 2}, "toxicity": 0.5}
    assert (await http.get("/proxies")).json()["p"]["toxics"][0]["toxicity"] == 0.5
    response = await http.patch("/proxies/p", json={"enabled": False})
    assert response.json()["enabled"] is False
    response = await http.post("/reset")
    assert (response.status_code, response.content) == (204, b"")
    assert (await http.get("/proxies/p")).json() == proxy
    response = await http.delete("/proxies/p")
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/proxies", {}, 400, "missing required field: name"),
        ("POST", "/proxies", {"name": "q"}, 400, "missing required field: upstream"),
        ("POST", "/proxies", {"name": "p", "upstream": "x:1"}, 409, "proxy already exists"),
        ("POST", "/proxies", {"name": 1}, 400, "bad request body: name must be a str, got int"),
        ("POST", "/proxies", [], 400, "bad request body: expected an object, got list"),
        ("POST", "/proxies", b"{", 400, "bad request body: "),
        (
            "POST",
            "/proxies",
            {"name": "q", "upstream": "x"},
            400,
            "bad request body: address x: missing port",
        ),
        ("GET", "/proxies/nope", None, 404, "proxy not found"),
        ("PATCH", "/proxies/nope", {}, 404, "proxy not found"),
        ("PATCH", "/proxies/p", {"enabled": "yes"}, 400, "bad request body: enabled must be a bool, got str"),
        ("DELETE", "/proxies/nope", None, 404, "proxy not found"),
        ("GET", "/proxies/nope/toxics", None, 404, "proxy not found"),
        ("POST", "/proxies/p/toxics", {}, 400, "invalid toxic type"),
        ("POST", "/proxies/p/toxics", {"type": "nope"}, 400, "invalid toxic type"),
        (
            "POST",
            "/proxies/p/toxics",
            {"type": "latency", "stream": "sideways"},
            400,
            "stream was invalid, can be either upstream or downstream",
        ),
        ("POST", "/proxies/p/toxics", {"type": "latency", "name": "t"}, 409, "toxic already exists"),
        ("POST", "/proxies/p/toxics", {"type": "bandwidth"}, 400, "missing required field: rate"),
        (
            "POST",
            "/proxies/p/toxics",
            {"type": "latency", "attributes": {"latency": -1}},
            400,
            "bad request body: latency must not be negative, got -1",
        ),
        (
            "POST",
            "/proxies/p/toxics",
            {"type": "latency", "attributes": {"latency": "fast"}},
            400,
            "bad request body: Expected `int | float`, got `str` - at `$.latency`",
        ),
        (
            "POST",
            "/proxies/p/toxics",
            {"type": "latency", "toxicity": 2},
            400,
            "bad request body: toxicity must be a number from 0 to 1, got 2",
        ),
        ("GET", "/proxies/p/toxics/nope", None, 404, "toxic not found"),
        ("PATCH", "/proxies/p/toxics/nope", {}, 404, "toxic not found"),
        (
            "PATCH",
            "/proxies/p/toxics/t",
            {"attributes": {"jitter": -3}},
            400,
            "bad request body: jitter must not be negative, got -3",
        ),
        ("DELETE", "/proxies/p/toxics/nope", None, 404, "toxic not found"),
        ("POST", "/proxies/p/cut", {"how": "gently"}, 400, 'bad request body: how must be "rst" or "fin"'),
        ("GET", "/trace?since=x", None, 400, "bad request body: since must be a number"),
        *(
            ("POST", "/proxies", {"name": "q", **address, **kind}, 400, "bad request body: address a..b:1: ")
            for address in (
                {"listen": "a..b:1", "upstream": "127.0.0.1:1"},
                {"listen": "127.0.0.1:0", "upstream": "a..b:1"},
            )
            for kind in ({}, {"protocol": "udp"})
        ),
        ("POST", "/proxies/p", {"listen": "a..b:1"}, 400, "bad request body: address a..b:1: "),
    ],
)
async def test_errors_have_toxiproxys_bodies(
    http: httpx.AsyncClient, echo: str, method: str, path: str, body: Any, status: int, error: str
) -> None:
    await create(http, echo)
    await http.post("/proxies/p/toxics", json={"type": "latency", "name": "t"})
    before = (await http.get("/proxies")).json()
    content = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
    response = await http.request(method, path, **content)
    assert response.status_code == status
    answer = response.json()
    assert answer["status"] == status
    assert answer["error"].startswith(error)
    assert (await http.get("/proxies")).json() == before


async def test_other_paths_and_methods_are_answered_as_gos_router_does(http: httpx.AsyncClient) -> None:
    response = await http.get("/nowhere")
    assert (response.status_code, response.text) == (404, "404 page not found\n")
    response = await http.put("/proxies")
    assert (response.status_code, response.text) == (405, "")


async def test_populate_replaces_what_differs_and_keeps_the_rest(
    http: httpx.AsyncClient, echo: str, collection: Collection
) -> None:
    proxy = await create(http, echo)
    kept = collection.get("p")
    same = {"name": "p", "listen": proxy["listen"], "upstream": echo}
    response = await http.post("/populate", json=[same, {"name": "q", "upstream": echo}])
    assert response.status_code == 201
    assert [p["name"] for p in response.json()["proxies"]] == ["p", "q"]
    assert collection.get("p") is kept
    await http.post("/populate", json=[{**same, "upstream": "127.0.0.1:9"}])
    assert collection.get("p") is not kept
    assert collection.get("p").listen == proxy["listen"]


async def test_a_name_of_the_same_address_is_no_other_address(
    http: httpx.AsyncClient, echo: str, collection: Collection
) -> None:
    proxy = await create(http, echo, listen="localhost:0")
    kept, port = collection.get("p"), proxy["listen"].rpartition(":")[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    same = {"name": "p", "listen": f"localhost:{port}", "upstream": echo}
    for path, body in (("/populate", [same]), ("/proxies/p", same)):
        assert (await http.post(path, json=body)).is_success
        assert collection.get("p") is kept
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
    writer.transport.abort()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([{"upstream": "a:1"}], "missing required field: name at proxy 1"),
        ([{"name": "a", "upstream": "a:1"}, {"name": "b"}], "missing required field: upstream at proxy 2"),
        ({}, "bad request body: expected an array, got dict"),
    ],
)
async def test_populate_is_judged_whole(http: httpx.AsyncClient, body: Any, error: str) -> None:
    response = await http.post("/populate", json=body)
    assert response.status_code == 400
    assert response.json() == {"error": error, "status": 400, "proxies": None}
    assert (await http.get("/proxies")).json() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    ],
)
async def test_web_pages_cannot_drive_it(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/proxies"), ("POST", "/reset"), ("GET", "/trace")):
        assert (await http.request(method, path, headers=headers)).status_code == 403


async def test_nodes_fetch_can_drive_it(http: httpx.AsyncClient) -> None:
    """npm's toxiproxy-node-client uses it, and it cannot leave these fields out."""
    headers = {"User-Agent": "node", "Accept-Language": "*", "Sec-Fetch-Mode": "cors"}
    for method, path in (("GET", "/proxies"), ("POST", "/reset"), ("GET", "/version")):
        assert (await http.request(method, path, headers=headers)).is_success


async def test_a_token_is_required_when_there_is_one() -> None:
    runner = web.AppRunner(make_app(Collection(), "secret"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": "Basic secret"}, 401),
            ({"Authorization": "Bearer secret"}, 200),
            ({"X-Rtlab-Token": "secret"}, 200),
        ):
            response = await http.get("/proxies", headers=headers)
            assert response.status_code == status
    await runner.cleanup()


async def test_metrics_count_bytes(http: httpx.AsyncClient, echo: str, collection: Collection) -> None:
    proxy = await create(http, echo, name='we"ird')
    reader, writer = await asyncio.open_connection(*proxy["listen"].split(":"))
    writer.write(b"12345")
    await reader.readexactly(5)
    text = (await http.get("/metrics")).text
    labels = f'direction="upstream",listener="{proxy["listen"]}",proxy="we\\"ird",upstream="{echo}"'
    assert f"toxiproxy_proxy_received_bytes_total{{{labels}}} 5\n" in text
    assert f"toxiproxy_proxy_sent_bytes_total{{{labels}}} 5\n" in text
    writer.transport.abort()
    await eventually(lambda: not collection.get('we"ird').links)


async def test_a_hundred_toxics_at_once(http: httpx.AsyncClient, echo: str) -> None:
    proxy = await create(http, echo)
    reader, writer = await asyncio.open_connection(*proxy["listen"].split(":"))
    kinds = ["latency", "slicer", "bandwidth", "limit_data", "corrupt"]
    attributes = {"rate": 10**6, "average_size": 1000, "bytes": 10**9, "probability": 1e-12}
    for stream in ("upstream", "downstream"):
        answers = await asyncio.gather(
            *(
                http.post(
                    "/proxies/p/toxics",
                    json={
                        "name": f"{stream}{i}",
                        "type": kinds[i % 5],
                        "stream": stream,
                        "attributes": attributes,
                    },
                )
                for i in range(100)
            )
        )
        assert {a.status_code for a in answers} == {200}
    refused = await http.post("/proxies/p/toxics", json={"type": "stall"})
    assert refused.status_code == 400
    writer.write(b"through them all")
    assert await asyncio.wait_for(reader.readexactly(16), 10) == b"through them all"
    assert (await http.post("/reset")).status_code == 204
    writer.write(b"free")
    assert await reader.readexactly(4) == b"free"
    writer.transport.abort()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "x@127.0.0.1"])
async def test_a_rebound_name_is_refused(http: httpx.AsyncClient, host: str) -> None:
    answer = await http.get("/proxies", headers={"Host": host})
    assert (answer.status_code, "is not this API" in answer.text) == (403, True)
    assert (await http.get("/proxies", headers={"Host": "localhost"})).status_code == 200
