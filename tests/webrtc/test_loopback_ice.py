"""Gathering stays on loopback, and closing leaves nothing."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiortc import RTCIceCandidate, RTCSessionDescription

from rtlab.webrtc.loopback_ice import LoopbackPeerConnection
from rtlab.webrtc.sdp_reader_and_editor import without_candidates


async def test_gathering_finds_loopback_and_nothing_else() -> None:
    peer = LoopbackPeerConnection()
    peer.createDataChannel("x")
    await peer.setLocalDescription()
    lines = [line for line in peer.localDescription.sdp.splitlines() if "candidate:" in line]
    await peer.close()
    assert [line.split()[4] for line in lines] == ["127.0.0.1"]


async def test_candidates_that_trickle_in_are_judged_too() -> None:
    one, two = LoopbackPeerConnection(), LoopbackPeerConnection()
    one.createDataChannel("x")
    await one.setLocalDescription()
    offer = without_candidates(one.localDescription.sdp)
    await two.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
    assert two.sctp is not None
    ice = two.sctp.transport.transport
    for ip, port in (("192.0.2.2", 9), ("abc.local", 9), ("127.0.0.1", 99_999), ("127.0.0.1", 5000)):
        await two.addIceCandidate(RTCIceCandidate(1, "1", ip, port, 1, "udp", "host", sdpMid="0"))
    assert [(candidate.ip, candidate.port) for candidate in ice.getRemoteCandidates()] == [
        ("127.0.0.1", 5000)
    ]
    await one.close()
    await two.close()


async def test_what_comes_at_once_while_the_loop_is_busy_waits_in_the_kernel() -> None:
    """With the system's usual 208 KiB, a third of it was lost, and SCTP took a second to notice."""
    peer = LoopbackPeerConnection()
    peer.createDataChannel("x")
    await peer.setLocalDescription()
    assert peer.sctp is not None
    (protocol,) = peer.sctp.transport.transport.iceGatherer._connection._protocols
    came: list[bytes] = []
    protocol.datagram_received = lambda data, address: came.append(data)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(130):
            sender.sendto(b"x" * 1200, protocol.transport.get_extra_info("sockname"))
    async with asyncio.timeout(20):
        while len(came) < 130:
            await asyncio.sleep(0.01)
    await peer.close()


async def test_an_unreadable_description_is_a_value_error() -> None:
    peer = LoopbackPeerConnection()
    with pytest.raises(ValueError, match="cannot be read"):
        await peer.setRemoteDescription(RTCSessionDescription(sdp="a=fingerprint:x\r\nm=x\r\n", type="offer"))
    await peer.close()


async def test_close_survives_a_caller_that_is_cancelled() -> None:
    one, two = LoopbackPeerConnection(), LoopbackPeerConnection()
    one.createDataChannel("x")
    await one.setLocalDescription()
    await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription()
    await one.setRemoteDescription(two.localDescription)  # both are connecting now
    closing = asyncio.ensure_future(one.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    async with asyncio.timeout(20):
        await asyncio.gather(one.close(), one.close(), two.close())
    assert asyncio.all_tasks() == {asyncio.current_task()}
