from __future__ import annotations

from rtlab.experiments.throughput.payload_feeds import load_feed
from rtlab.models.compression_memory import deflate_memory_bytes, inflate_memory_bytes
from rtlab.protocol.json_and_messagepack_codecs import JSON
from tests.notebook_exercises import run

NAME = "12_compression_and_encoding"


async def test_exercise_1():
    # The hint: a small number. zlib's versions differ by a few bytes.
    assert (await run(NAME, 1))["size"] in (4, 5, 6)


async def test_exercise_2():
    best = (await run(NAME, 2))["best"]
    assert best == (14, 2)
    budget = 4 * 2**30 / 50_000
    assert round(budget / 1024) == 84

    def bill(w: int, m: int) -> int:
        return int(deflate_memory_bytes(w, m) + inflate_memory_bytes(w))

    assert bill(14, 2) == (64 + 2 + 16) * 1024 <= budget < bill(14, 4)
    assert bill(13, 6) == 72 * 1024


async def test_exercise_3():
    names = await run(NAME, 3)
    assert 0.7 < names["without"] < 0.85
    assert names["with_dictionary"] < 0.45


async def test_exercise_4():
    names = await run(NAME, 4)
    largest = max(len(JSON.encode(message)) for message in load_feed("ticks"))
    assert names["largest"] == largest < 1024
    assert names["without_threshold"] < 0.25 * names["with_threshold"]
