"""Two brokers that are a cluster: whose message comes first depends on where one listens."""

from __future__ import annotations

import asyncio

import nats
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from rtlab.experiments.cluster.two_nats_servers import TwoZones
from rtlab.lab.lab import Lab
from tests.held_ports import needs_held_ports, ports_held_here


async def test_each_zone_hears_its_own_sender_first() -> None:
    async with Lab(faults=True) as lab, TwoZones(lab.faults, 0.5) as zones, asyncio.timeout(60):
        ends = [await nats.connect(url) for url in zones.urls]
        heard: list[list[bytes]] = [[], []]

        async def answer(message: Msg) -> None:
            await message.respond(b"")

        for place, end in enumerate(ends):

            async def hear(message: Msg, place: int = place) -> None:
                heard[place].append(message.data)

            await end.subscribe("said", cb=hear)
            await end.subscribe(f"at.{place}", cb=answer)
        for place, end in enumerate(reversed(ends)):
            while True:
                try:
                    await end.request(f"at.{place}", timeout=20)
                    break
                except NoRespondersError:
                    await asyncio.sleep(0.05)
        for place, end in enumerate(ends):
            await end.publish("said", b"%d" % place)
        while min(map(len, heard)) < 2:
            await asyncio.sleep(0.05)
        assert heard == [[b"0", b"1"], [b"1", b"0"]]
        await asyncio.gather(*(end.close() for end in ends))


@needs_held_ports
async def test_the_ports_of_the_zones_differ_and_are_reserved_for_their_time() -> None:
    async with Lab(faults=True) as lab:
        async with TwoZones(lab.faults, 0.01) as zones:
            ports = {held.port for held in zones._held}
            assert len(ports) == 4  # for clients and for the other zone, at each
            assert {int(url.rpartition(":")[2]) for url in zones.urls} < ports <= ports_held_here().keys()
        assert not ports & ports_held_here().keys()
