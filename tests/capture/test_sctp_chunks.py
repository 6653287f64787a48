"""The chunks of a data channel, as the end in this process logs them."""

from __future__ import annotations

import asyncio
import logging

from rtlab.capture.sctp_chunks import SctpChunk, SctpChunks
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection

LOGGER = logging.getLogger("aiortc.rtcsctptransport")


async def connect() -> tuple[LoopbackPeerConnection, LoopbackPeerConnection]:
    ours, theirs = LoopbackPeerConnection(), LoopbackPeerConnection()
    channel = ours.createDataChannel("chunks")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await ours.setLocalDescription()
    await theirs.setRemoteDescription(ours.localDescription)
    await theirs.setLocalDescription()
    await ours.setRemoteDescription(theirs.localDescription)
    async with asyncio.timeout(10):
        await opened.wait()
    return ours, theirs


async def test_the_chunks_of_an_opening_are_kept_in_order() -> None:
    before = (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers))
    with SctpChunks() as chunks:
        peers = await connect()
        for peer in peers:
            await peer.close()
    sent = [chunk.kind for chunk in chunks.seen if chunk.sent]
    assert sent.index("INIT") < sent.index("INIT ACK") < sent.index("COOKIE ECHO") < sent.index("DATA")
    assert all(chunk.tsn is not None for chunk in chunks.seen if chunk.kind in ("DATA", "SACK"))
    assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)) == before


def test_numbers_and_gaps_are_read_and_timers_are_not() -> None:
    with SctpChunks(clock=lambda: 1.5) as chunks:
        for text in (
            "< DataChunk(flags=3, tsn=7, stream_id=1, stream_seq=0)",
            "> SackChunk(flags=0, advertised_rwnd=9, cumulative_tsn=4, gaps=[(2, 3), (5, 5)])",
            "< ForwardTsnChunk(cumulative_tsn=6, streams=[(1, 3)])",
            "- T3 start",
        ):
            LOGGER.debug("RTCSctpTransport(client) " + text)
    assert chunks.seen == [
        SctpChunk(1.5, False, "DATA", 7),
        SctpChunk(1.5, True, "SACK", 4, ((2, 3), (5, 5))),
        SctpChunk(1.5, False, "FORWARD-TSN", 6),
    ]
