"""Changes to the set of proxies that come at the same time."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.faults.errors import FaultError
from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.proxy.proxy_collection import Collection


@pytest.mark.parametrize("first", [{"enabled": False}, {"upstream": "127.0.0.1:1"}])
async def test_two_updates_at_once_do_not_undo_each_other(
    collection: Collection, proxy: Proxy, first: dict[str, object]
) -> None:
    both: dict[str, object] = {"enabled": False, "upstream": "127.0.0.1:1"}
    second = {name: value for name, value in both.items() if name not in first}
    await asyncio.gather(collection.update(proxy, first), collection.update(proxy, second))
    assert (proxy.enabled, proxy.upstream) == (False, "127.0.0.1:1")


async def test_a_proxy_that_is_being_removed_is_not_started_again(
    collection: Collection, proxy: Proxy
) -> None:
    _, updated = await asyncio.gather(
        collection.remove("p"), collection.update(proxy, {"upstream": "127.0.0.1:1"}), return_exceptions=True
    )
    assert not proxy.enabled
    assert isinstance(updated, FaultError)
    assert updated.status == 404
