"""A proxy that is its own upstream is refused before it takes every descriptor."""

from __future__ import annotations

import pytest

from rtlab.faults.errors import FaultError
from rtlab.faults.proxy.proxy_collection import Collection
from rtlab.processes.ports import HeldPort


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.1.2.3"),
    ],
)
async def test_a_proxy_is_not_its_own_upstream(
    collection: Collection, listen: str, upstream: str, protocol: str, held_port: int
) -> None:
    port = held_port
    body = {"name": "p", "listen": f"{listen}:{port}", "upstream": f"{upstream}:{port}", "protocol": protocol}
    with pytest.raises(FaultError, match="leads back to"):
        await collection.create(body)
    with pytest.raises(FaultError, match="leads back to"):
        await collection.populate([body])
    assert collection.proxies == {}


async def test_nor_over_another_proxy_nor_by_an_update(collection: Collection) -> None:
    with HeldPort() as one_held, HeldPort() as two_held:
        one, two = one_held.port, two_held.port
        first = await collection.create(
            {"name": "a", "listen": f"127.0.0.1:{one}", "upstream": f"127.0.0.1:{two}", "enabled": False}
        )
        second = {"name": "b", "listen": f"127.0.0.1:{two}", "enabled": False}
        with pytest.raises(FaultError, match="leads back to"):
            await collection.create({**second, "upstream": f"localhost:{one}"})
        await collection.create({**second, "upstream": f"127.0.0.2:{one}"})  # nobody of ours listens there
        with pytest.raises(FaultError, match="leads back to"):
            await collection.update(first, {"upstream": first.listen})
        assert first.upstream == f"127.0.0.1:{two}"


async def test_the_same_port_elsewhere_is_no_loop(collection: Collection, echo: str) -> None:
    port = echo.rpartition(":")[2]
    await collection.create({"name": "p", "listen": f"127.0.0.2:{port}", "upstream": echo})
