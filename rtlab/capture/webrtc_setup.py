"""How a data channel opens: all packets from the SDP answer to the first message, named and by stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from aioice import stun

from rtlab.capture.annotate_webrtc import name_of_datagram
from rtlab.capture.sctp_chunks import SctpChunk, SctpChunks
from rtlab.capture.udp_tap import UdpTap, kind_of
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel

__all__ = ["STAGES", "SetupPacket", "WebRTCSetup", "watch_opening"]

#: The stages between the SDP answer and the first message, in order.
STAGES: Final = ("ICE", "DTLS", "SCTP", "channel")
#: Seconds, beyond the tap's delay, after which a packet that passed the tap has surely been read.
_ARRIVES: Final = 0.2


class SetupPacket(NamedTuple):
    """One packet as it passed the tap.

    Parameters
    ----------
    at : float
        Seconds since the SDP answer.
    up : bool
        Whether the packet went to the server.
    stage : str
        One of `STAGES`: what the client was waiting for when the packet passed. ICE ends with the
        first DTLS packet, which the server sends once its own check has been answered.
    text : str
        What the packet is.
    """

    at: float
    up: bool
    stage: str
    text: str


class WebRTCSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The opening of one data channel.

    Parameters
    ----------
    packets : list of SetupPacket
        The packets before the first message, in the order in which they passed the tap.
    seconds : dict of str to float
        Stage → how many seconds it took, seen from the client.
    own_port, outer_port, seen_port : int
        The client's UDP port; the relay's port in front of it, like a NAT's; and the client's port
        as the server reports it (XOR-MAPPED-ADDRESS, RFC 8489 §14.2; 0 if it did not).
    """

    packets: list[SetupPacket]
    seconds: dict[str, float]
    own_port: int
    outer_port: int
    seen_port: int


class _Tap(UdpTap):
    """Keeps every packet with its time, and the time of the SDP answer."""

    def __init__(self, delay: float, clock: Callable[[], float]) -> None:
        super().__init__(delay)
        self.clock = clock
        self.answered = 0.0
        self.kept: list[tuple[float, bool, bytes]] = []

    async def relay(self, port: int) -> int:
        self.answered = self.clock()
        return await super().relay(port)

    def saw(self, up: bool, data: bytes) -> None:
        super().saw(up, data)
        self.kept.append((self.clock(), up, data))


async def watch_opening(
    url: str, delay: float = 0.0, *, clock: Callable[[], float] = time.monotonic
) -> WebRTCSetup:
    """Open a data channel through a tap, close it, and return what passed the tap.

    Parameters
    ----------
    url : str
        The server's base URL.
    delay : float
        Seconds that the tap holds each packet, in each direction.
    clock : callable
        Returns monotonic seconds.

    Returns
    -------
    WebRTCSetup

    Raises
    ------
    ConnectFailed
        If the channel did not open.
    """
    tap = _Tap(delay, clock)
    with SctpChunks(clock=clock) as chunks:
        async with tap, WebRTCChannel(url, relay=tap.relay):
            opened, kept = clock(), list(tap.kept)
            # A packet arrives `delay` seconds after it passed the tap; only then is its chunk logged.
            late = opened + delay + _ARRIVES
            while _encrypted_down(kept) > sum(not chunk.sent for chunk in chunks.seen) and clock() < late:
                await asyncio.sleep(0.001)
            seen = list(chunks.seen)
    packets = _packets(kept, seen, tap.answered)
    seen = [chunk for chunk in seen if chunk.at <= opened]
    hello = next(at + delay for at, up, data in kept if not up and kind_of(data) == "handshake")
    ends = [
        tap.answered,
        hello,
        next(chunk.at for chunk in seen if chunk.sent),
        next(chunk.at for chunk in seen if chunk.sent and chunk.kind == "DATA"),
        opened,
    ]
    (own, outer), *_ = tap.mappings.items()
    return WebRTCSetup(
        packets=packets,
        seconds={stage: end - begin for stage, begin, end in zip(STAGES, ends[:-1], ends[1:], strict=True)},
        own_port=own,
        outer_port=outer,
        seen_port=_mapped_port(data for _, up, data in kept if not up),
    )


def _packets(
    kept: list[tuple[float, bool, bytes]], seen: list[SctpChunk], answered: float
) -> list[SetupPacket]:
    """Name each packet; leave out encrypted packets whose chunk this end has not logged."""
    # Each packet has one chunk, and the order is kept: the n-th encrypted packet has the n-th chunk.
    waiting = {up: iter(_names([chunk for chunk in seen if chunk.sent is up])) for up in (True, False)}
    packets: list[SetupPacket] = []
    begun = False
    for at, up, data in kept:
        if kind_of(data) == "data":
            stage, text = next(waiting[up], ("", ""))
        else:
            begun = begun or (up and kind_of(data) == "handshake")
            stage, text = ("DTLS" if begun else "ICE"), name_of_datagram(data)
        if text:
            packets.append(SetupPacket(at - answered, up, stage, text))
    return packets


def _encrypted_down(kept: list[tuple[float, bool, bytes]]) -> int:
    return sum(not up and kind_of(data) == "data" for _, up, data in kept)


def _names(chunks: list[SctpChunk]) -> list[tuple[str, str]]:
    """Name chunks of one direction: the first DATA is DATA_CHANNEL_OPEN, or its ACK (RFC 8832)."""
    named: list[tuple[str, str]] = []
    for chunk in chunks:
        if chunk.kind not in ("DATA", "SACK"):
            named.append(("SCTP", f"SCTP {chunk.kind}"))
            continue
        first = chunk.kind == "DATA" and not any(text.startswith("SCTP DATA") for _, text in named)
        what = ("open the channel" if chunk.sent else "the channel is open") if first else "a message"
        named.append(("channel", f"SCTP DATA: {what}" if chunk.kind == "DATA" else "SCTP SACK"))
    return named


def _mapped_port(datagrams: Any) -> int:
    for data in datagrams:
        if kind_of(data) != "stun":
            continue
        attributes = stun.parse_message(data).attributes
        if "XOR-MAPPED-ADDRESS" in attributes:
            return int(attributes["XOR-MAPPED-ADDRESS"][1])
    return 0
