"""Packets of sound, kept as they came, and decoded into slots."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from rtlab.client.p2p.audio_tracks import ToneTrack
from rtlab.client.p2p.received_audio_packets import SLOT_SAMPLES, SoundPacket, keep_packets, slots
from tests.client.p2p.test_call_setup_signalling import calling, until


async def test_packets_are_kept_and_still_played() -> None:
    got: list[Any] = []

    class Receiver:
        async def _handle_rtp_packet(self, packet: Any, arrival_time_ms: int) -> None:
            got.append((packet, arrival_time_ms))

    class Packet:
        sequence_number, payload = 9, b"opus"

    receiver: Any = Receiver()
    packet = Packet()
    kept = keep_packets(receiver)
    await receiver._handle_rtp_packet(packet, arrival_time_ms=5)
    assert list(kept) == [SoundPacket(9, b"opus")]
    assert got == [(packet, 5)]


async def test_a_call_keeps_its_packets_and_they_decode_to_the_tone() -> None:
    async with asyncio.timeout(20), calling(audio=ToneTrack) as (ours, theirs):
        await until(lambda: len(ours.sound_packets) > 20 and len(theirs.sound_packets) > 20)
        packets = ours.sound_packets
    decoded = slots(packets)
    assert len(decoded) == len(packets)
    sound = np.concatenate([slot for slot in decoded[5:] if slot is not None])
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    assert abs(spectrum.argmax() * 48_000 / len(sound) - 440) < 10


async def test_holes_are_none_and_numbers_wrap() -> None:
    async with asyncio.timeout(20), calling(audio=ToneTrack) as (ours, _):
        await until(lambda: len(ours.sound_packets) >= 6)
        payloads = [packet.payload for packet in ours.sound_packets[:6]]
    numbers = [65_534, 65_535, 1, 0, 4]
    decoded = slots(SoundPacket(n, p) for n, p in zip(numbers, payloads, strict=False))
    assert [slot is None for slot in decoded] == [False, False, False, False, True, True, False]
    assert all(slot is None or slot.shape == (SLOT_SAMPLES,) for slot in decoded)
    assert slots([]) == []
