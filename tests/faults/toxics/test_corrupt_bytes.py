"""Corruption: which bytes, by the seed."""

from __future__ import annotations

import asyncio

from rtlab.faults.proxy.proxy_collection import Collection


async def corrupted(collection: Collection, echo: str, size: int, seed: int) -> dict[int, int]:
    """Which of 1,000 zero bytes, sent in chunks of `size`, come back as what."""
    proxy = await collection.create({"name": "noisy", "upstream": echo, "seed": seed})
    proxy.add_toxic({"type": "corrupt", "attributes": {"probability": 0.05, "skip": 100}})
    reader, writer = await asyncio.open_connection(*proxy.listen.split(":"))
    got = b""
    while len(got) < 1000:
        chunk = bytes(min(size, 1000 - len(got)))
        writer.write(chunk)
        got += await reader.readexactly(len(chunk))
    writer.transport.abort()
    await collection.remove("noisy")
    return {i: byte for i, byte in enumerate(got) if byte}


async def test_corruption_depends_on_the_seed_and_not_on_the_chunks(
    collection: Collection, echo: str
) -> None:
    flipped = await corrupted(collection, echo, 1000, seed=42)
    assert 20 < len(flipped) < 80  # 900 × 0.05 = 45, and 4 standard deviations either way
    assert min(flipped) >= 100
    assert all(byte.bit_count() == 1 for byte in flipped.values())
    assert await corrupted(collection, echo, 7, seed=42) == flipped
    assert await corrupted(collection, echo, 1000, seed=43) != flipped
