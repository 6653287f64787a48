from __future__ import annotations

import asyncio
from typing import Any, cast
from zlib import crc32

import pytest

from rtlab.errors import LabError
from rtlab.experiments.balancing.node_by_key import join_moves, nodes_of
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

KEYS = [f"key {n}" for n in range(50)]


class Before:
    """A balancer before so many nodes that takes the remainder of a hash."""

    def __init__(self, nodes: int) -> None:
        self.urls = ["http://node"] * nodes
        self.nodes = nodes
        self.balancer = self
        self.asked: list[tuple[int, str]] = []
        self.url = ""

    def through(self, policy: str) -> str:
        return self.url

    async def set_state(self, node: int, state: str) -> None:
        self.asked.append((node, state))
        self.nodes = len(self.urls) - (state == "maint")

    async def restore(self) -> None: ...

    async def until_up(self, node: int) -> None: ...

    async def answer(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        node = crc32(request.query["clientId"].encode()) % self.nodes + 1
        writer.write(response(200, x_node=f"node-{node}"))
        return True


async def test_a_join_is_asked_before_and_after() -> None:
    lab = Before(3)
    async with ScriptedServer(lab.answer) as server:
        lab.url = server.url
        moved = await join_moves(cast("Any", lab), "modulo_hash", KEYS)
    hashes = [crc32(key.encode()) for key in KEYS]
    new = [(h % 2, h % 3) for h in hashes if h % 2 != h % 3]
    assert (moved.share, moved.keys) == (len(new) / 50, 50)
    assert moved.among_others == sum(there != 2 for _, there in new) / 50
    assert lab.asked == [(2, "maint"), (2, "ready")]


async def test_an_answer_that_names_no_node_is_an_error() -> None:
    async def refuse(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        writer.write(response(503))
        return True

    async with ScriptedServer(refuse) as server:
        with pytest.raises(LabError, match="503"):
            await nodes_of(server.url, ["a"])
