"""Bodies as Toxiproxy takes them, checked over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from rtlab.faults.errors import FaultError
from rtlab.faults.seeded_fault_timeline import FaultScript
from rtlab.faults.toxiproxy_json import lower_case_fields, read_json


@pytest.fixture
async def http(api: str, echo: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api, trust_env=False) as client:
        made = await client.post("/proxies", json={"name": "p", "upstream": echo})
        assert made.status_code == 201
        yield client


UNREADABLE = {
    "not UTF-8": b'{"name": "\xff"}',
    "nested deeply": b"[" * 100_000,
    "nested deeply, closed": b"[" * 5_000 + b"]" * 5_000,
    "half a surrogate": b'{"name": "\\ud800"}',
    "endless number": b'{"toxicity": 1' + b"0" * 5_000 + b"}",
    "out of range": b'{"toxicity": 1e999}',
    "not a number": b'{"toxicity": NaN}',
    "a byte order mark": b'\xef\xbb\xbf{"name": "q"}',
    "empty": b"",
    "half": b'{"name": "q"',
}
ROUTES = ["/proxies", "/populate", "/proxies/p", "/proxies/p/toxics", "/proxies/p/cut", "/script"]


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_what_is_no_json_is_a_bad_request_on_every_route(http: httpx.AsyncClient, body: bytes) -> None:
    for route in ROUTES:
        if route.endswith("/cut") and not body:
            continue  # no body there means the defaults
        answer = await http.post(route, content=body)
        assert answer.status_code == 400, route
        assert answer.json()["status"] == 400
        assert answer.json()["error"]


async def test_the_stream_in_capitals(http: httpx.AsyncClient) -> None:
    made = await http.post("/proxies/p/toxics", json={"type": "latency", "stream": "UPSTREAM"})
    assert made.status_code == 200
    assert made.json()["stream"] == "upstream"
    assert made.json()["name"] == "latency_UPSTREAM"  # Toxiproxy makes the name of what was sent


async def test_keys_in_any_case_and_the_last_wins(http: httpx.AsyncClient) -> None:
    body = b'{"Type": "latency", "ATTRIBUTES": {"Latency": 5, "LATENCY": 7, "jitter": 1}, "TOXICITY": 0.5}'
    made = await http.post("/proxies/p/toxics", content=body)
    assert made.json()["attributes"] == {"latency": 7, "jitter": 1}
    assert made.json()["toxicity"] == 0.5
    changed = await http.patch("/proxies/p/toxics/latency_downstream", json={"Attributes": {"JITTER": 2}})
    assert changed.json()["attributes"] == {"latency": 7, "jitter": 2}
    assert (await http.patch("/proxies/p", json={"Enabled": False})).json()["enabled"] is False


async def test_null_leaves_everything_as_it_is(http: httpx.AsyncClient) -> None:
    nulls = {"name": None, "stream": None, "toxicity": None, "attributes": None}
    made = await http.post("/proxies/p/toxics", json={"type": "latency", **nulls})
    assert made.json()["name"] == "latency_downstream"
    at = "/proxies/p/toxics/latency_downstream"
    await http.patch(at, json={"attributes": {"latency": 9}, "toxicity": 0.5})
    for body in ({"attributes": {"latency": None}, "toxicity": None}, {"attributes": None}, None):
        unchanged = await http.patch(at, content=b"null") if body is None else await http.patch(at, json=body)
        assert unchanged.status_code == 200
        assert unchanged.json()["attributes"]["latency"] == 9
        assert unchanged.json()["toxicity"] == 0.5
    twice = await http.patch("/proxies/p", content=b'{"enabled": false, "ENABLED": null}')
    assert twice.json()["enabled"] is False
    assert (await http.post("/populate", content=b"null")).json() == {"proxies": []}
    assert (await http.post("/proxies", content=b"null")).json()["error"] == "missing required field: name"


async def test_null_unsets_what_is_unset_by_default(http: httpx.AsyncClient) -> None:
    made = await http.post(
        "/proxies/p/toxics", json={"type": "http_status", "attributes": {"retry_after": 3, "status": 500}}
    )
    at = f"/proxies/p/toxics/{made.json()['name']}"
    changed = await http.patch(at, json={"attributes": {"retry_after": None, "status": None}})
    assert changed.json()["attributes"]["retry_after"] is None
    assert changed.json()["attributes"]["status"] == 500


async def test_bytes_behind_the_value_are_ignored(http: httpx.AsyncClient) -> None:
    made = await http.post("/proxies/p/toxics", content=b' \n{"type": "latency"} {"type": 7} and more')
    assert made.status_code == 200
    assert (await http.patch("/proxies/p", content=b'{"enabled": false}}}}')).json()["enabled"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"type": "latency", "stream": 7},
        {"type": "latency", "name": False},
        {"type": "latency", "attributes": []},
        {"type": "latency", "attributes": {"latency": 1e300}},
        {"type": "latency", "attributes": {"latency": 2**63}},
    ],
)
async def test_a_value_of_another_kind_is_a_bad_request(http: httpx.AsyncClient, body: object) -> None:
    assert (await http.post("/proxies/p/toxics", json=body)).status_code == 400


@pytest.mark.parametrize("address", ["127.0.0.1:" + "9" * 5_000, "127.0.0.1:99999"])
async def test_a_port_of_many_digits_is_a_bad_request(http: httpx.AsyncClient, address: str) -> None:
    made = await http.post("/proxies", json={"name": "q", "upstream": address})
    assert made.status_code == 400
    assert (await http.get("/trace?since=" + "9" * 5_000)).status_code == 400


def test_a_script_file_that_is_none_is_an_error_of_ours(tmp_path) -> None:
    for body in UNREADABLE.values():
        (tmp_path / "script.json").write_bytes(body)
        with pytest.raises(FaultError):
            FaultScript.load(tmp_path / "script.json")


def test_what_is_no_object_has_no_fields() -> None:
    for value in ([], "text", 3, True):
        with pytest.raises(FaultError, match="expected an object"):
            lower_case_fields(value)
    assert lower_case_fields(read_json(b"null")) == {}
