"""Real signalling and real packets, explained the same way each time."""

from __future__ import annotations

from rtlab.capture.annotate_webrtc import annotate_sdp, name_of_datagram
from rtlab.capture.udp_tap import UdpTap
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection


async def offer() -> str:
    peer = LoopbackPeerConnection()
    peer.createDataChannel("x")
    await peer.setLocalDescription()
    await peer.close()
    return peer.localDescription.sdp


async def test_two_offers_look_alike_and_show_no_secret() -> None:
    first, second = await offer(), await offer()
    assert first != second
    shown = repr(annotate_sdp(first))
    assert shown == repr(annotate_sdp(second))
    secrets = [line.rpartition(":")[2] for line in first.splitlines() if "ice-pwd" in line or "ufrag" in line]
    assert len(secrets) == 2
    assert not any(secret in shown for secret in secrets)


async def test_every_line_of_a_data_channels_offer_has_a_comment() -> None:
    parts = annotate_sdp(await offer()).parts
    assert [part.name for part in parts if not part.comment] == []
    assert [part.name for part in parts].count("fingerprint") == 1
    assert next(part for part in parts if part.name == "setup").comment == "DTLS: either of us may begin"


class Witness(UdpTap):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def saw(self, up: bool, data: bytes) -> None:
        super().saw(up, data)
        self.names.append(name_of_datagram(data))


async def test_a_connections_packets_are_named_in_their_order() -> None:
    server = Server(Node(Options(token="t", stop_window=0.0)))
    await server.start()
    try:
        async with (
            Witness() as tap,
            WebRTCChannel(f"http://127.0.0.1:{server.port}", relay=tap.relay) as conn,
        ):
            await conn.request("echo", "hi")
    finally:
        await server.stop()
    order = ["ICE check", "DTLS ClientHello", "DTLS ServerHello", "DTLS ChangeCipherSpec", "SCTP"]
    firsts = [next(i for i, name in enumerate(tap.names) if name.startswith(word)) for word in order]
    assert firsts == sorted(firsts)
    assert not any(name.startswith(("unknown", "STUN")) for name in tap.names)


def test_what_cannot_be_named_is_not_guessed() -> None:
    assert name_of_datagram(b"") == "unknown (0 bytes)"
    assert name_of_datagram(b"\x16") == "DTLS handshake"
    assert name_of_datagram(b"\x01\x02") == "STUN"
