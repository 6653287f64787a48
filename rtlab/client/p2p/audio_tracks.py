"""The audio of a call: a tone to send, a listener, and the receiver's statistics."""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from aiortc.stats import RTCInboundRtpStreamStats, RTCOutboundRtpStreamStats
from av import AudioFrame

__all__ = ["SAMPLE_RATE", "AudioStats", "RemoteTrackBuffer", "ToneTrack", "audio_stats"]

#: The RTP clock of Opus runs at 48 kHz, whatever the audio bandwidth (RFC 7587 §4.1).
SAMPLE_RATE: Final = 48_000
FRAME_SECONDS: Final = 0.02
_SAMPLES: Final = int(SAMPLE_RATE * FRAME_SECONDS)


class AudioStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the audio received in a call.

    Parameters
    ----------
    packets : int
        RTP packets received; each carries 20 ms of sound.
    lost : int
        RTP packets expected by sequence number but not received (RFC 3550 §6.4.1).
    jitter : float
        Interarrival jitter in seconds: J += (|D| − J) / 16 (RFC 3550 §6.4.1, A.8).
    sent : int
        RTP packets that this end has sent in the other direction.
    """

    packets: int = 0
    lost: int = 0
    jitter: float = 0.0
    sent: int = 0

    @property
    def lost_fraction(self) -> float:
        """Share of the expected packets that were not received, 0 to 1."""
        expected = self.packets + self.lost
        return self.lost / expected if expected > 0 else 0.0


async def audio_stats(peer: RTCPeerConnection) -> AudioStats:
    """Read the statistics of a peer connection's audio.

    Parameters
    ----------
    peer : RTCPeerConnection
        A peer connection with at most one audio track in each direction.

    Returns
    -------
    AudioStats
        All fields are 0 before the first packet.
    """
    packets = lost = sent = 0
    jitter = 0.0
    report = cast("dict[str, Any]", await peer.getStats())
    for entry in report.values():
        if isinstance(entry, RTCInboundRtpStreamStats):
            # aiortc reports jitter in units of the RTP clock, the W3C in seconds.
            packets, lost, jitter = entry.packetsReceived, entry.packetsLost, entry.jitter / SAMPLE_RATE
        elif isinstance(entry, RTCOutboundRtpStreamStats):
            sent = entry.packetsSent
    return AudioStats(packets=packets, lost=lost, jitter=jitter, sent=sent)


class ToneTrack(MediaStreamTrack):
    """A sine tone in frames of 20 ms, on a fixed schedule.

    Parameters
    ----------
    frequency : float
        The tone's frequency in hertz.
    clock : callable
        Returns monotonic seconds.
    """

    kind = "audio"

    def __init__(self, frequency: float = 440.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._step = 2 * np.pi * frequency / SAMPLE_RATE
        self._clock = clock
        self._start: float | None = None
        self._frames = 0

    async def recv(self) -> AudioFrame:
        """Return the next frame at its scheduled time."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._start is None:
            self._start = self._clock()
        await asyncio.sleep(max(0.0, self._start + self._frames * FRAME_SECONDS - self._clock()))
        first = self._frames * _SAMPLES
        self._frames += 1
        wave = 0.3 * np.sin(self._step * np.arange(first, first + _SAMPLES))
        samples = (wave * 32_767).astype(np.int16).reshape(1, -1)
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = first
        frame.time_base = fractions.Fraction(1, SAMPLE_RATE)
        return frame


class RemoteTrackBuffer:
    """Reads the decoded frames of a remote track, and keeps the last half second.

    If nothing read the track, its frames would accumulate in memory.

    Parameters
    ----------
    track : MediaStreamTrack
        The remote track.
    """

    def __init__(self, track: MediaStreamTrack) -> None:
        self.frames = 0
        self._last: list[np.ndarray] = []
        self._task = asyncio.create_task(self._listen(track), name="webrtc listener")

    async def _listen(self, track: MediaStreamTrack) -> None:
        receive = cast("Callable[[], Awaitable[AudioFrame]]", track.recv)  # pyright: ignore[reportUnknownMemberType]
        while True:
            try:
                frame = await receive()
            except MediaStreamError:
                return
            self.frames += 1
            # The Opus decoder returns interleaved stereo; one channel is enough.
            self._last = [*self._last[-24:], frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)]]

    def pitch(self) -> float | None:
        """Return the strongest frequency of the last half second, in hertz; None for silence."""
        if not self._last:
            return None
        sound = np.concatenate(self._last).astype(float)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        if spectrum.max() <= len(sound):  # silence: an amplitude below about 4 of 32,767
            return None
        return float(spectrum.argmax() * SAMPLE_RATE / len(sound))

    async def stop(self) -> None:
        """Stop reading the track."""
        self._task.cancel()
        await asyncio.wait((self._task,))
