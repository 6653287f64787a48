"""A call between two clients: messages and sound, without a server in the path."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self

from aiortc import MediaStreamTrack, RTCDataChannel

from rtlab.client.p2p.audio_tracks import AudioStats, RemoteTrackBuffer, audio_stats
from rtlab.client.p2p.received_audio_packets import SoundPacket, keep_packets
from rtlab.errors import TransportClosed
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message
from rtlab.webrtc.data_channel_framing_and_pings import check_opening
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection
from rtlab.webrtc.receive_queue import ReceiveQueue

__all__ = ["Call"]


class Call:
    """A call with one other client, opened by `Peer.call` and `Peer.accept`.

    Parameters
    ----------
    peer_connection : LoopbackPeerConnection
        The peer connection, which is closed together with the call.
    channel : RTCDataChannel, optional
        The data channel that the calling side has created; None on the called side, which waits for it.

    Attributes
    ----------
    remote : str
        The other peer's name.
    """

    def __init__(
        self, peer_connection: LoopbackPeerConnection, channel: RTCDataChannel | None = None
    ) -> None:
        self.remote = ""
        self._peer_connection = peer_connection
        self._queue: ReceiveQueue | None = None
        self._listener: RemoteTrackBuffer | None = None
        self._packets: deque[SoundPacket] = deque()
        self._begun = asyncio.Event()
        self._fault = ""
        if channel is not None:
            self._begin(channel)
        peer_connection.on("track", self._hear)
        peer_connection.on("datachannel", self._begin)
        peer_connection.on("connectionstatechange", self._state_changed)

    def _hear(self, track: MediaStreamTrack) -> None:
        self._listener = RemoteTrackBuffer(track)
        for transceiver in self._peer_connection.getTransceivers():
            if transceiver.receiver.track is track:
                self._packets = keep_packets(transceiver.receiver)

    def _begin(self, channel: RTCDataChannel) -> None:
        if self._queue is None:
            self._queue = ReceiveQueue(self._peer_connection, channel)
            self._begun.set()

    def check_opening(self) -> None:
        """Let `opened` raise when the caller's request for a channel is malformed."""
        sctp = self._peer_connection.sctp
        if sctp is not None:  # else the offer has no data channels
            check_opening(sctp, lambda: self._queue is not None, self._malformed)

    def _malformed(self) -> None:
        self._fault = "the caller's request for a data channel is malformed"
        self._begun.set()

    def _state_changed(self) -> None:
        if self._peer_connection.connectionState in ("failed", "closed"):
            self._begun.set()

    async def opened(self) -> None:
        """Return when messages can be sent; raise `TransportClosed` if the peer connection ends first."""
        await self._begun.wait()
        if self._queue is None:
            state = self._peer_connection.connectionState
            raise TransportClosed(1006, self._fault or f"the peer connection is {state}")
        await self._queue.link.opened()

    # Messages

    async def send(self, type: str, payload: Any = None) -> None:
        """Send one message straight to the other peer.

        Raises
        ------
        TransportClosed
            The call has ended.
        MessageError
            The payload is not in the JSON data model, or too large.
        """
        link = self._open_queue.link
        link.send(JSON.encode(Message(type, payload)).decode())
        await link.drained()

    async def receive(self) -> Message:
        """Return the other peer's next message.

        Raises
        ------
        TransportClosed
            The call has ended, and everything received has been returned.
        MessageError
            A message cannot be decoded; later messages can still be received.
        """
        return JSON.decode(await self._open_queue.get())

    async def ping(self) -> float:
        """Return a round trip to the other peer, in seconds."""
        return await self._open_queue.link.ping()

    @property
    def _open_queue(self) -> ReceiveQueue:
        assert self._queue is not None, "a call is handed out when its channel is open"
        return self._queue

    # Sound

    async def audio_stats(self) -> AudioStats:
        """Return the statistics of the other peer's sound so far."""
        return await audio_stats(self._peer_connection)

    @property
    def sound_packets(self) -> list[SoundPacket]:
        """The audio packets of the last two minutes, in the order of their arrival."""
        return list(self._packets)

    @property
    def frames_heard(self) -> int:
        """How many frames of 20 ms were decoded."""
        return self._listener.frames if self._listener is not None else 0

    def pitch(self) -> float | None:
        """Return the strongest frequency in the last half second, in hertz; None for silence."""
        return self._listener.pitch() if self._listener is not None else None

    # Ending

    async def close(self) -> None:
        """End the call; return when no task, no socket and no decoder thread is left."""
        if self._queue is not None:
            await self._queue.link.close(1000, "hung up")
        await self._peer_connection.close()
        if self._listener is not None:
            await self._listener.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
