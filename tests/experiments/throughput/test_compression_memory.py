from __future__ import annotations

from rtlab.experiments.throughput.compression_memory import measure_memory
from rtlab.experiments.throughput.payload_feeds import make_feed
from rtlab.lab.lab import Lab
from rtlab.models.compression_memory import deflate_memory_bytes
from rtlab.protocol.permessage_deflate import Deflate


async def test_a_context_costs_what_zlib_says_and_none_costs_nothing():
    kinds = {
        "context": Deflate(memory_level=1),
        "alone": Deflate(memory_level=1, server_no_context_takeover=True),
    }
    async with Lab() as lab:
        found = await measure_memory(lab, kinds, make_feed("football", 40), readers=24)
        assert (await lab.stats())["connections"]["websocket"] == 0
    formula = float(deflate_memory_bytes(15, 1))
    assert list(found) == list(kinds)
    # All of a small memory level's arrays are in use, and 6 KiB of fixed state come on top.
    assert 0.85 * formula < found["context"].used < 1.2 * formula
    assert found["context"].idle < found["context"].used
    assert found["alone"].used < 0.15 * formula
