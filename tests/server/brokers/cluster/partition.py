"""Three nodes, of which one is cut off from the broker, as a program of its own; it prints what each saw.

``python -m tests.server.brokers.cluster.partition namespace`` runs in a network namespace of its own
(`WHERE`), gives node-3 another one, and takes the cable between them down: nothing answers, nothing is reset,
and what was written waits in the kernels. ``… proxy`` stalls node-3's link in the fault proxy.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from rtlab.faults.proxy.proxy_collection import Collection
from rtlab.lab.broker_servers import BrokerServer
from rtlab.protocol.message_format import Message
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.server.brokers.cluster.cluster_broker import ClusterBroker
from rtlab.server.brokers.cluster.rendezvous_room_owner import owner_of
from rtlab.server.brokers.room_publishing_interface import BrokerFailed
from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.maybe_awaitable_values import settled
from rtlab.server.rooms.room_membership_hub import Hub

#: What begins the program: a network of its own, and the right to change it, also for who is not root.
WHERE = ("unshare", "--user", "--map-root-user", "--net")
NAMES = ("node-1", "node-2", "node-3")
ROOM = next(room for room in map("room {}".format, range(100)) if owner_of(room, NAMES) == "node-3")
PATIENCE = 90.0
#: The two ends of the cable.
OUTER, INNER = "10.77.0.1", "10.77.0.2"


class Reader:
    """Someone in the room: what came, in order."""

    present, user = True, "reader"

    def __init__(self) -> None:
        self.got: list[Message] = []

    def deliver(self, frame: EncodedFrame) -> None:
        self.got.append(frame.message)

    def blocks(self, room_id: str) -> bool:
        return False

    def when_changed(self, action: Callable[[], Any]) -> asyncio.Future[Any]:
        raise NotImplementedError

    @property
    def account(self) -> dict[str, Any]:
        said = [(m.epoch, m.offset, m.payload) for m in self.got if m.type == "n"]
        return {"got": said, "resyncs": sum(m.type == "resync" for m in self.got)}


class Node:
    """A node's rooms and its broker, with a reader; what it published, and what was refused."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.hub, self.reader = name, Hub(time.monotonic), Reader()
        self.broker = ClusterBroker(self.hub, carrier_for(url, namespace="partition"), name)
        self.acked: list[tuple[str, int, str]] = []
        self.refused: list[str] = []

    async def start(self) -> None:
        await self.broker.start()
        await until(lambda: len(self.broker.report()["nodes"]) == len(NAMES))
        await settled(self.broker.enter(ROOM))
        self.hub.join(self.reader, ROOM)

    async def say(self, text: str) -> tuple[str, int, str] | None:
        try:
            place = await self.broker.publish(ROOM, Message("n", text))
        except BrokerFailed as error:
            self.refused.append(str(error))
            return None
        self.acked.append((place.epoch, place.offset, text))
        return self.acked[-1]

    async def talk(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await self.say(f"{self.name} {number}")
            await asyncio.sleep(0.02)

    @property
    def account(self) -> dict[str, Any]:
        return {**self.reader.account, "acked": self.acked, "refused": self.refused}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


# node-3, a process of its own: words come in, a line for each is answered


async def third(lines: AsyncIterator[str]) -> None:
    node, stop = Node("node-3", await anext(lines)), asyncio.Event()
    await node.start()
    print("started", flush=True)
    await anext(lines)  # all are in the room: they get what is said from now on
    talking = asyncio.create_task(node.talk(stop))
    print("talking", flush=True)
    async for line in lines:
        match line:
            case "cut":  # until it knows that it may not act any more, and a publisher was told so
                await until(lambda: not node.broker.report()["connected"])
                await until(lambda: any("cut off" in reason for reason in node.refused))
            case "mended":
                await until(lambda: len(node.broker.report()["nodes"]) == len(NAMES))
                stop.set()
                await talking
            case text:
                await until(lambda text=text: any(m.payload == text for m in node.reader.got))
        print(json.dumps(node.account), flush=True)
    await node.broker.stop()


async def stdin_lines() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().strip()


class Third:
    """node-3, as the others see it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, word: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word.encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode()


@asynccontextmanager
async def other_process(*before: str) -> AsyncIterator[Third]:
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", __spec__.name, "node", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Third(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# The two ways to cut it off

Cut = Callable[[bool], Awaitable[None]]


async def ip(*arguments: str, of: int | None = None) -> None:
    inside = () if of is None else ("nsenter", "--target", str(of), "--net")
    process = await asyncio.create_subprocess_exec(*inside, "ip", *arguments)
    assert await process.wait() == 0, arguments


@asynccontextmanager
async def by_namespace(broker: BrokerServer) -> AsyncIterator[tuple[Third, str, Cut]]:
    async with other_process("unshare", "--net") as node:
        pid = node.process.pid
        own = os.readlink("/proc/self/ns/net")
        await until(lambda: os.readlink(f"/proc/{pid}/ns/net") != own)
        await ip("link", "add", "outer", "type", "veth", "peer", "name", "inner", "netns", str(pid))
        for name, address, of in (("outer", OUTER, None), ("inner", INNER, pid)):
            await ip("addr", "add", f"{address}/24", "dev", name, of=of)
            await ip("link", "set", name, "up", of=of)
        await ip("link", "set", "lo", "up", of=pid)

        async def cut(off: bool) -> None:
            await ip("link", "set", "outer", "down" if off else "up")

        yield node, f"nats://{OUTER}:{broker.port}", cut


@asynccontextmanager
async def by_proxy(broker: BrokerServer) -> AsyncIterator[tuple[Third, str, Cut]]:
    proxies = Collection()
    proxy = await proxies.create({"name": "link", "upstream": f"127.0.0.1:{broker.port}"})

    async def cut(off: bool) -> None:
        proxy.reset_toxics()
        for stream in ("upstream", "downstream") if off else ():
            proxy.add_toxic({"type": "stall", "stream": stream})

    try:
        async with other_process() as node:
            yield node, f"nats://{proxy.listen}", cut
    finally:
        await proxies.close()


async def scenario(way: str) -> dict[str, Any]:
    if way == "namespace":
        await ip("link", "set", "lo", "up")
    broker = BrokerServer("nats")
    if way == "namespace":  # this network holds nobody else
        command = broker._kind.command

        def listen(*where: Any) -> list[str]:
            return ["0.0.0.0" if word == "127.0.0.1" else word for word in command(*where)]

        broker._kind = replace(broker._kind, command=listen)
    nodes = [Node(name, broker.url) for name in NAMES[:2]]
    one, two = nodes
    try:
        await broker._run()
        async with (by_namespace if way == "namespace" else by_proxy)(broker) as (third, url, cut):
            started = asyncio.create_task(third.ask(url))
            await asyncio.gather(*(node.start() for node in nodes))
            await started
            await third.ask("talk")
            stop = asyncio.Event()
            before = await insist(one, "before", lambda place: True)
            talking = asyncio.create_task(one.talk(stop))
            await cut(True)
            await third.ask("cut")
            during = await insist(two, "during", lambda place: place[0] > before[0])
            await cut(False)
            await third.ask("mended")
            stop.set()
            await talking
            await insist(two, "end", lambda place: True)
            last = json.loads(await third.ask("end"))
            await until(lambda: all(any(m.payload == "end" for m in node.reader.got) for node in nodes))
        accounts = {node.name: node.account for node in nodes} | {"node-3": last}
        return {"before": before, "during": during, "nodes": accounts}
    finally:
        for node in nodes:
            await node.broker.stop()
        await broker.stop()


async def insist(node: Node, text: str, enough: Callable[[Any], bool]) -> tuple[str, int, str]:
    """Publish until it is accepted, and in the right epoch."""
    async with asyncio.timeout(PATIENCE):
        while True:
            place = await node.say(text)
            if place is not None and enough(place):
                return place
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    if sys.argv[1] == "node":
        asyncio.run(third(stdin_lines()))
    else:
        print(json.dumps(asyncio.run(scenario(sys.argv[1]))))
