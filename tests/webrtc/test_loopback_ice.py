"""Descriptions are cut down to loopback, and closing leaves nothing."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import RTCIceCandidate, RTCSessionDescription

from rtlab.webrtc.loopback_ice import (
    LoopbackPeerConnection,
    candidate_ports,
    keep_loopback,
    max_message_bytes,
    without_candidates,
)

HERE = "a=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host\r\n"
OTHERS = (
    "a=candidate:2 1 udp 2130706431 192.0.2.2 5001 typ host\r\n"
    "a=candidate:3 1 udp 2130706431 ::1 5002 typ host\r\n"
    "a=candidate:4 1 udp 2113937151 7d7fbb18-c284-4cdd-af92-c5af441839bd.local 5003 typ host\r\n"
    "a=candidate:5 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active\r\n"
    "a=candidate:6 1 udp 1 203.0.113.1 5004 typ srflx raddr 127.0.0.1 rport 5000\r\n"
    "a=candidate:nonsense\r\n"
)
HEAD = "v=0\r\ns=-\r\n"
SECTION = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n"
END = "a=end-of-candidates\r\n"


def test_other_candidates_are_dropped() -> None:
    assert keep_loopback(HEAD + SECTION + OTHERS + HERE + END) == HEAD + SECTION + HERE + END


def test_a_section_without_candidates_keeps_waiting_for_checks() -> None:
    first = SECTION + OTHERS + END
    second = SECTION + HERE + END
    assert keep_loopback(HEAD + first + second) == HEAD + SECTION + second


def test_a_description_without_candidates_is_left_alone() -> None:
    assert keep_loopback(HEAD + SECTION) == HEAD + SECTION
    assert keep_loopback("") == ""


def test_all_candidates_can_be_dropped() -> None:
    assert without_candidates(HEAD + SECTION + HERE + OTHERS + END) == HEAD + SECTION


def test_only_loopback_ports_are_found_and_replaced() -> None:
    ports, same = candidate_ports(SECTION + HERE + OTHERS)
    assert (ports, same) == ([5000], SECTION + HERE + OTHERS)
    _, changed = candidate_ports(SECTION + HERE + OTHERS, {5000: 6000, 5001: 1})
    assert changed == SECTION + HERE.replace("5000", "6000") + OTHERS


@pytest.mark.parametrize(
    ("line", "limit"),
    [("a=max-message-size:262144\r\n", 262_144), ("a=max-message-size:0\r\n", None), ("", 65_536)],
)
def test_the_message_limit_is_read_as_rfc_8841_says(line: str, limit: int | None) -> None:
    assert max_message_bytes(SECTION + line) == limit


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
    for ip in ("192.0.2.2", "abc.local", "127.0.0.1"):
        await two.addIceCandidate(RTCIceCandidate(1, "1", ip, 5000, 1, "udp", "host", sdpMid="0"))
    assert [candidate.ip for candidate in ice.getRemoteCandidates()] == ["127.0.0.1"]
    await one.close()
    await two.close()


async def test_an_unreadable_description_is_a_value_error() -> None:
    peer = LoopbackPeerConnection()
    with pytest.raises(ValueError, match="cannot be read"):
        await peer.setRemoteDescription(RTCSessionDescription(sdp="m=x\r\n", type="offer"))
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
