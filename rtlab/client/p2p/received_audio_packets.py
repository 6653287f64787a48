"""Received audio packets, recorded before aiortc's jitter buffer decides which of them to play."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from numpy.typing import NDArray

__all__ = ["SLOT_SAMPLES", "SoundPacket", "keep_packets", "slots"]

#: Samples of one Opus packet: 20 ms at 48 kHz.
SLOT_SAMPLES: Final = 960
_KEPT: Final = 6_000  # packets, which are two minutes


class SoundPacket(msgspec.Struct, frozen=True):
    """One decrypted RTP packet.

    Parameters
    ----------
    sequence : int
        The packet's 16-bit sequence number (RFC 3550 §5.1).
    payload : bytes
        The packet's content, one Opus frame.
    """

    sequence: int
    payload: bytes


def keep_packets(receiver: Any) -> deque[SoundPacket]:
    """Record the packets that an aiortc receiver gets from now on.

    Parameters
    ----------
    receiver : aiortc.RTCRtpReceiver
        The receiver, which continues to handle its packets as before.

    Returns
    -------
    deque of SoundPacket
        The packets of the last two minutes, in the order of their arrival; it grows as packets come.
    """
    kept: deque[SoundPacket] = deque(maxlen=_KEPT)
    handle = receiver._handle_rtp_packet

    async def keep_and_handle(packet: Any, arrival_time_ms: int) -> None:
        kept.append(SoundPacket(packet.sequence_number, bytes(packet.payload)))
        await handle(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = keep_and_handle
    return kept


def slots(packets: Iterable[SoundPacket]) -> list[NDArray[np.float64] | None]:
    """Decode packets into slots of 20 ms, in the order of their sequence numbers.

    Parameters
    ----------
    packets : iterable of SoundPacket
        The packets, in any order; numbers may be missing or repeated.

    Returns
    -------
    list of array of shape (960,), or None
        One slot for each number from the lowest to the highest, with samples from −1 to 1; None where
        no packet came.

    Examples
    --------
    >>> slots([])
    []
    """
    given = list(packets)
    if not given:
        return []
    first = given[0].sequence
    # Numbers wrap at 2¹⁶, so each place is the distance to the first number that is nearest to 0.
    by_place = {(p.sequence - first + 0x8000) % 0x10000 - 0x8000: p.payload for p in given}
    decoder, decoded = OpusDecoder(), list[NDArray[np.float64] | None]()
    for place in range(min(by_place), max(by_place) + 1):
        payload = by_place.get(place)
        decoded.append(None if payload is None else _decode(decoder, payload, place * SLOT_SAMPLES))
    return decoded


def _decode(decoder: OpusDecoder, payload: bytes, timestamp: int) -> NDArray[np.float64] | None:
    frames: list[Any] = decoder.decode(JitterFrame(payload, timestamp))
    if not frames:
        return None
    # The decoder returns interleaved stereo; one channel is enough.
    sound = np.concatenate(
        [frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)] for frame in frames]
    )
    return np.resize(sound / 32_768.0, SLOT_SAMPLES)
