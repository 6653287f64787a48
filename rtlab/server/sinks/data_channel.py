"""The server's ends of its WebRTC connections: a sink on a data channel for each client.

Importing this costs 0.2 s and 36 MiB, because of aiortc: `rtc` does it at the first offer.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar, Final

import msgspec
from aiortc import RTCDataChannel, RTCSessionDescription

from rtlab.errors import MessageError, MessageTooLarge, TransportClosed
from rtlab.protocol.codecs import JSON, Codec, codec_for
from rtlab.protocol.messages import Message
from rtlab.server.frames import Frame, error_message
from rtlab.server.node import Node
from rtlab.server.opening import Opening
from rtlab.server.protocol import Refused
from rtlab.server.sessions import Session
from rtlab.webrtc.data_channel import DataLink
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection

__all__ = ["DataChannelSink", "RtcPeers"]

#: After the client's close frame it has this long to close the connection itself.
LINGER: Final = 1.0


class DataChannelSink:
    """Frames on a data channel.

    Parameters
    ----------
    link : DataLink
        The channel.
    codec : Codec
        Named by the channel's ``protocol``.
    node : Node
        Counts the slow clients, and says how much one may hold.
    """

    transport: ClassVar[str] = "webrtc"

    def __init__(self, link: DataLink, codec: Codec, node: Node) -> None:
        self.codec = codec
        self._link = link
        self._node = node
        self._closing: asyncio.Task[None] | None = None

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing is not None

    @property
    def queued_bytes(self) -> int:
        return 0 if self._link.ended is not None else self._link.buffered_bytes

    def write(self, frame: Frame, position: int) -> None:
        link = self._link
        if self._closing is not None or link.ended is not None:
            return
        # Looked at before the write: one message over the limit is no slow client.
        if link.buffered_bytes > self._node.options.write_limit_bytes:
            self._node.slow_clients += 1
            link.abort(1006, "the client reads too slowly")
            return
        data = frame.encoded(self.codec)
        try:
            link.send(data if self.codec.binary else data.decode())
        except MessageTooLarge as error:
            self.write(Frame(_substitute(frame.message, error)), position)

    def close(self, code: int, reason: str = "") -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._link.close(code, reason), name="webrtc goodbye")

    async def closed(self) -> None:
        """Return when an end that `close` began is over."""
        if self._closing is not None:
            await self._closing

    def abort(self) -> None:
        self._link.abort()

    def heartbeat(self) -> None:
        """Let the client hear something; whether *it* lives, ICE asks every 5 s (RFC 7675)."""
        self._link.beat()


def _substitute(of: Message, error: MessageTooLarge) -> Message:
    """Say what could not be sent, in its place: the client counts what it receives."""
    text = f"a {of.type!r:.60} message cannot pass your data channel: {error}"
    substitute = error_message("too_large", text, of.id)
    substitute.room_id, substitute.offset, substitute.epoch = of.room_id, of.offset, of.epoch
    return substitute


class RtcPeers:
    """All WebRTC peers of one server.

    Parameters
    ----------
    node : Node
        The server.
    max_peers : int
        The most peers, those that are still opening included. Each has a
        socket, a DTLS session and four tasks: about 160 KiB, and 5 ms of CPU to open.
    open_timeout : float
        Seconds that a client has to open its channel after the answer.
    """

    def __init__(self, node: Node, *, max_peers: int = 200, open_timeout: float = 10.0) -> None:
        self.max_peers = max_peers
        self._node = node
        self._open_timeout = open_timeout
        self._tasks: dict[_Client, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def full(self) -> bool:
        """Whether another peer is one too many."""
        return len(self._tasks) >= self.max_peers

    async def answer(self, offer: str, opening: Opening) -> str:
        """Make a peer for one client.

        Parameters
        ----------
        offer : str
            Its session description.
        opening : Opening
            What it wants to continue.

        Returns
        -------
        str
            Our session description.

        Raises
        ------
        ValueError
            When the offer cannot be read.
        """
        peer = LoopbackPeerConnection()
        client = _Client(self._node, peer, opening)
        self._tasks[client] = asyncio.create_task(self._serve(client), name="webrtc peer")
        try:
            await peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
            await peer.setLocalDescription()
        except BaseException:
            client.give_up()  # not cancelled: the task may not have begun
            raise
        return peer.localDescription.sdp

    async def _serve(self, client: _Client) -> None:
        """Own one peer until nothing of it is left."""
        try:
            await client.run(self._open_timeout)
        finally:
            await client.close()
            del self._tasks[client]

    async def stop(self) -> None:
        """Drop every peer; the node has said goodbye to those with a session."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class _Client:
    """One client from its offer to its end."""

    def __init__(self, node: Node, peer: LoopbackPeerConnection, opening: Opening) -> None:
        self._node = node
        self._peer = peer
        self._opening = opening
        self._link: DataLink | None = None
        self._sink: DataChannelSink | None = None
        self._session: Session | None = None
        # In this order: a channel has come (or none will), its link has ended, the peer is closed.
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._gone = asyncio.Event()
        peer.on("datachannel", self._begin)
        peer.on("connectionstatechange", self._state_changed)

    async def run(self, open_timeout: float) -> None:
        """Return when the connection has ended, or has not begun in time."""
        await _wait(self._begun, open_timeout)
        if self._link is None:
            return
        await self._ended.wait()
        if self._link.ended is not None and self._link.ended.clean:
            # The answer to a close frame is on its way: the end that began closes first.
            await _wait(self._gone, LINGER)

    def give_up(self) -> None:
        """Let `run` return: no channel will come."""
        self._begun.set()

    async def close(self) -> None:
        """Return when the peer has left no task and no socket."""
        if self._link is not None:
            self._link.abort()
        await self._peer.close()
        if self._sink is not None:
            await self._sink.closed()

    def _state_changed(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            self._begun.set()
            self._gone.set()

    def _begin(self, channel: RTCDataChannel) -> None:
        if self._link is not None:
            channel.close()  # one client, one channel
            return
        link = self._link = DataLink(self._peer, channel, self._receive, self._end)
        self._begun.set()
        opening = self._opening
        if not _reliable(channel):
            # Such a client cannot tell how many messages it has missed.
            opening = msgspec.structs.replace(opening, session=None, seq=0)
        sink = self._sink = DataChannelSink(link, JSON, self._node)
        if self._node.stopping:
            sink.close(1012, "the server restarts")
            return
        try:
            sink.codec = codec_for(channel.protocol or None)
            opened = self._node.open(opening)
        except (MessageError, Refused) as error:
            sink.close(1008, str(error))
            return
        self._session = opened.session
        self._node.attach(opened, sink)

    def _receive(self, frame: str | bytes) -> None:
        session, sink = self._session, self._sink
        if session is None or sink is None or sink.closing:
            return
        if not self._node.receive_data(session, frame, sink.codec):
            sink.close(1008, "too many messages that cannot be read")
            self._node.end(session)

    def _end(self, error: TransportClosed) -> None:
        self._ended.set()
        if self._session is not None and self._sink is not None:
            self._node.detach(self._session, self._sink, ended=error.clean and error.code == 1000)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _reliable(channel: RTCDataChannel) -> bool:
    return channel.ordered and channel.maxRetransmits is None and channel.maxPacketLifeTime is None
