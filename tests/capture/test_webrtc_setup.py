"""The packets of an opening: named, in their stages, and with the ports of the tap between."""

from __future__ import annotations

import asyncio

from rtlab.capture.sctp_chunks import SctpChunk
from rtlab.capture.webrtc_setup import (
    STAGES,
    _packets,  # pyright: ignore[reportPrivateUsage]
    watch_opening,
)
from rtlab.lab.lab import Lab


async def test_an_opening_is_told_packet_by_packet_and_stage_by_stage() -> None:
    async with asyncio.timeout(60), Lab() as lab:
        await watch_opening(lab.url)  # the first offer makes the server import aiortc
        seen = await watch_opening(lab.url, 0.02)
    assert list(seen.seconds) == list(STAGES)
    assert all(seconds > 0.035 for seconds in seen.seconds.values())
    order = [packet.stage for packet in seen.packets]
    assert list(dict.fromkeys(order)) == list(STAGES)
    up = [packet.text for packet in seen.packets if packet.up]
    assert up[0] == "ICE check"
    assert [text for text in up if text.startswith("SCTP") and "SACK" not in text][:5] == [
        "SCTP INIT",
        "SCTP INIT ACK",
        "SCTP COOKIE ECHO",
        "SCTP COOKIE ACK",
        "SCTP DATA: open the channel",
    ]
    down = [packet.text for packet in seen.packets if not packet.up]
    assert "SCTP DATA: the channel is open" in down
    assert 0 <= seen.packets[0].at < 5
    assert seen.seen_port == seen.outer_port != seen.own_port


def test_a_packet_that_has_not_arrived_is_left_out_and_not_shown_without_a_name() -> None:
    encrypted = bytes([23]) + bytes(30)
    kept = [(0.1, True, encrypted), (0.2, False, encrypted), (0.3, False, encrypted)]
    seen = [SctpChunk(0.1, True, "INIT"), SctpChunk(0.25, False, "INIT ACK")]
    assert [packet.text for packet in _packets(kept, seen, 0.0)] == ["SCTP INIT", "SCTP INIT ACK"]
