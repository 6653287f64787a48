from __future__ import annotations

import asyncio
import sys

import pytest

from rtlab.experiments.throughput.compressed_delivery_cost import connect_readers, offer_of
from rtlab.experiments.throughput.payload_feeds import make_feed
from rtlab.lab.lab import Lab
from rtlab.measure.kernel_sockets import bytes_in_kernel
from rtlab.protocol.permessage_deflate import Deflate

ALONE = Deflate(server_no_context_takeover=True)


def test_an_offer_holds_only_what_is_negotiated():
    assert offer_of(None) == ""
    assert offer_of(Deflate(level=9, memory_level=1)) == "permessage-deflate"
    assert offer_of(ALONE) == "permessage-deflate; server_no_context_takeover"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp is Linux's")
async def test_each_crowd_gets_every_message_in_the_form_that_it_offered():
    feed = make_feed("football", 20)
    found: dict[str, float] = {}
    async with Lab(compression=Deflate()) as lab:
        for name, deflate in (("plain", None), ("context", Deflate()), ("alone", ALONE)):
            async with connect_readers(lab, name, 5, deflate) as readers:
                assert readers.agreed == offer_of(deflate)
                ran = await readers.publish(feed)
                assert ran.deliveries == 100
                found[name] = ran.wire_bytes
        assert found["context"] < found["alone"] < found["plain"] / 2
        # Who does not read leaves it all in the kernel.
        async with connect_readers(lab, "stalled", 3, None) as readers:
            readers.pause()
            ran = await readers.publish(feed)
            assert ran.deliveries == 20
            async with asyncio.timeout(10):  # until the last acknowledgement
                while bytes_in_kernel(int(lab.url.rpartition(":")[2])) != round(2 * 20 * ran.wire_bytes):
                    await asyncio.sleep(0.01)


async def test_a_publisher_that_is_cancelled_leaves_a_crowd_that_goes_on_reading():
    feed = make_feed("ticks", 3)
    async with Lab() as lab, connect_readers(lab, "r", 2, None) as readers:
        publishing = asyncio.create_task(readers.publish(feed))
        await asyncio.sleep(0)  # all is sent, nothing has come
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        async with asyncio.timeout(10):
            while readers.frames < 6:
                await asyncio.sleep(0.001)
            assert (await readers.publish(feed)).deliveries == 6
