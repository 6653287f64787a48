"""A step of the one way in holds whatever carries the messages: alone, and in a batch."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rtlab.client.client_factory_by_transport import make_client
from rtlab.errors import MessageError, RequestRefused
from rtlab.lab.lab import Lab
from rtlab.protocol.payload_schemas import Schemas
from rtlab.protocol.transport_names import TRANSPORTS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab(rate_limit=["connection messages 0.01 6"], schemas="default", strict_keys=True) as lab:
        yield lab


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_messages_over_the_rate_are_refused_with_a_hint(lab: Lab, transport: str) -> None:
    async with make_client(transport, lab.url) as conn:
        ack = await conn.request("batch", [{"type": "pong"}] * 4)
        assert [result["ok"] for result in ack.payload["results"]] == [True] * 4
        await conn.request("echo", 1)
        with pytest.raises(RequestRefused, match="wait") as refused:
            await conn.request("echo", 2)
        assert refused.value.code == "rate_limited"
        assert refused.value.retry_after == pytest.approx(100, abs=1)
    assert (await lab.stats())["rate_limited"] > 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_payloads_are_validated_on_both_ends(lab: Lab, transport: str) -> None:
    wrong = {"type": "join_room", "payload": {"roomId": 5}}
    async with make_client(transport, lab.url) as conn:
        with pytest.raises(RequestRefused, match="join_room: payload/roomId: "):
            await conn.request(wrong["type"], wrong["payload"])
        ack = await conn.request("batch", [wrong])
        assert ack.payload["results"][0]["error"]["code"] == "schema"
    strict = Schemas({("echo", 1): {"type": "string", "maxLength": 3}})
    async with make_client(transport, lab.url, schemas=strict) as conn:
        with pytest.raises(MessageError, match="echo: payload: the value is longer"):
            await conn.send("echo", "too long")
        assert (await conn.request("echo", "fit")).payload == "fit"
        assert len(conn.dead_letters) == 1
