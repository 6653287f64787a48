"""One more origin is let in at run time: only that one, with the token alone, and no longer than wanted."""

from __future__ import annotations

import httpx
import pytest
import websockets

from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.lab.page_origin_permission import let_page_in

PAGE = "https://hub.example"


async def entrances(lab: Lab, origin: str) -> list[int]:
    """Return the statuses with which a page of this origin gets in: poll, preflight, WebSocket."""
    async with httpx.AsyncClient(headers={"Origin": origin}) as http:
        poll = await http.get(f"{lab.url}/poll")
        asking = {"Access-Control-Request-Method": "POST"}
        preflight = await http.options(f"{lab.url}/send", headers=asking)
    for answer in (poll, preflight):
        told = answer.headers.get("Access-Control-Allow-Origin")
        assert told == (origin if answer.status_code != 403 else None)
    try:
        async with websockets.connect(lab.ws_url, origin=websockets.Origin(origin)):
            socket = 101
    except websockets.InvalidStatus as error:
        socket = error.response.status_code
    return [poll.status_code, preflight.status_code, socket]


async def test_exactly_one_origin_is_let_in_and_no_longer_than_wanted() -> None:
    async with Lab() as lab:
        assert await entrances(lab, PAGE) == [403, 403, 403]
        await let_page_in(lab, PAGE)
        assert await entrances(lab, PAGE) == [200, 204, 101]
        for other in ("http://hub.example", "https://hub.example:8443", "https://evil.hub.example", "null"):
            assert await entrances(lab, other) == [403, 403, 403]
        # A name that was made to point here (DNS rebinding) does not become one of the server's.
        async with httpx.AsyncClient() as http:
            rebound = await http.get(f"{lab.url}/poll", headers={"Host": "hub.example", "Origin": PAGE})
            assert rebound.status_code == 403
        await let_page_in(lab, "http://localhost:8888")  # in place of the first
        assert await entrances(lab, PAGE) == [403, 403, 403]
        assert await entrances(lab, "http://localhost:8888") == [200, 204, 101]
        await let_page_in(lab, None)
        assert await entrances(lab, "http://localhost:8888") == [403, 403, 403]


async def test_the_route_asks_for_the_token_and_takes_origins_alone() -> None:
    async with Lab() as lab, httpx.AsyncClient(base_url=lab.url) as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            refused = await http.put("/api/page-origin", json={"origin": PAGE}, headers=headers)
            assert refused.status_code == 401
        good = {"Authorization": f"Bearer {lab.token}"}
        for body in ("{}", '{"origin": 1}', "\udcff", '{"origin": "' + "a" * 2000 + '"}'):
            data = body.encode(errors="surrogateescape")
            refused = await http.put("/api/page-origin", content=data, headers=good)
            assert 400 <= refused.status_code < 500
        for text in ("null", "*", "", "hub.example", "https://a/b", "https://u@hub.example", "https://a b"):
            with pytest.raises(LabError, match="expected an origin such as"):
                await let_page_in(lab, text)
        assert await entrances(lab, PAGE) == [403, 403, 403]
