"""The sound that reached us, as packets: kept before aiortc's jitter buffer decides what to play."""

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

#: One Opus packet holds 20 ms at 48 kHz.
SLOT_SAMPLES: Final = 960
_KEPT: Final = 6_000  # two minutes


class SoundPacket(msgspec.Struct, frozen=True):
    """One decrypted RTP packet.

    Parameters
    ----------
    sequence : int
        Its sequence number, 16 bits (RFC 3550 §5.1).
    payload : bytes
        One Opus frame.
    """

    sequence: int
    payload: bytes


def keep_packets(receiver: Any) -> deque[SoundPacket]:
    """Keep what an aiortc receiver gets from now on.

    Parameters
    ----------
    receiver : aiortc.RTCRtpReceiver
        Whose packets; it goes on as before.

    Returns
    -------
    deque of SoundPacket
        In the order in which they arrive; the last two minutes.
    """
    kept: deque[SoundPacket] = deque(maxlen=_KEPT)
    handle = receiver._handle_rtp_packet

    async def keep_and_handle(packet: Any, arrival_time_ms: int) -> None:
        kept.append(SoundPacket(packet.sequence_number, bytes(packet.payload)))
        await handle(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = keep_and_handle
    return kept


def slots(packets: Iterable[SoundPacket]) -> list[NDArray[np.float64] | None]:
    """Decode packets into slots of 20 ms, in the order of their numbers.

    Parameters
    ----------
    packets : iterable of SoundPacket
        In any order, with holes and repeats.

    Returns
    -------
    list of array of shape (960,), or None
        From the first packet to the last; None where none came. Samples from −1 to 1.

    Examples
    --------
    >>> slots([])
    []
    """
    given = list(packets)
    if not given:
        return []
    first = given[0].sequence
    # Numbers wrap at 2¹⁶: the nearest distance to the first one is meant.
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
    # Interleaved stereo is what the decoder makes; one side is enough.
    sound = np.concatenate(
        [frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)] for frame in frames]
    )
    return np.resize(sound / 32_768.0, SLOT_SAMPLES)
