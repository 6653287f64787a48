from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.web import WebSocketResponse

from rtlab.client.client_factory_by_transport import make_client
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.event_loop import garbage_collection
from rtlab.server.event_loop.garbage_collection import GarbageCollection
from rtlab.server.node import Node
from rtlab.server.server_options import Options


class Collector:
    def __init__(self) -> None:
        self.callbacks: list[Callable[[str, dict[str, Any]], None]] = []
        self.calls: list[str] = []

    def freeze(self) -> None:
        self.calls.append("freeze")

    def unfreeze(self) -> None:
        self.calls.append("unfreeze")

    def collect(self, generation: int) -> list[str]:
        """Return what was done about it since the last."""
        for phase in ("start", "stop"):
            for told in self.callbacks:
                told(phase, {"generation": generation})
        calls, self.calls = self.calls, []
        return calls


def test_a_full_collection_sets_aside_what_it_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    collector, now = Collector(), 100.0
    monkeypatch.setattr(garbage_collection, "gc", collector)
    made = GarbageCollection(lambda: now, full_seconds=600)
    made.start()
    assert collector.collect(1) == ["freeze"]  # by start
    assert (collector.collect(0), collector.collect(2)) == ([], ["freeze"])
    now = 701.0
    assert collector.collect(2) == ["unfreeze"]  # and the next looks at everything
    assert collector.collect(2) == ["freeze"]
    made.stop()
    assert collector.collect(2) == ["unfreeze"]  # by stop


def websockets() -> list[object]:
    return [one for one in gc.get_objects() if type(one).__mro__[1:2] == (WebSocketResponse,)]


async def test_a_websocket_that_has_ended_is_freed_without_the_collector() -> None:
    server = Server(Node(Options(token="secret")))
    await server.start()
    try:
        gc.disable()
        others = websockets()  # of earlier tests, and held by them
        async with make_client("websocket", f"http://127.0.0.1:{server.port}") as conn:
            await conn.request("echo", 1)
            (living,) = (weakref.ref(one) for one in websockets() if one not in others)
        async with asyncio.timeout(30):
            while living() is not None:
                await asyncio.sleep(0.01)
    finally:
        gc.enable()
        await server.stop()
