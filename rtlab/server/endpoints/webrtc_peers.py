"""The server's side of WebRTC connections: one peer for each client, from its offer to its end.

Importing this costs 0.2 s and 36 MiB, because of aiortc: `webrtc_offer` does it at the first offer.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import Final

import msgspec
from aiortc import RTCDataChannel, RTCSessionDescription

from rtlab.errors import MessageError, TransportClosed
from rtlab.protocol.json_and_messagepack_codecs import JSON, codec_for
from rtlab.protocol.limits import BATCH_SLACK_BYTES
from rtlab.server.connect_request_parser import ConnectRequest
from rtlab.server.node import Node
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sinks.batching_sink import batched
from rtlab.server.sinks.sink_interface import Sink
from rtlab.server.sinks.write_to_data_channel import DataChannelSink
from rtlab.webrtc.data_channel_framing_and_pings import DataLink, check_opening
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection

__all__ = ["RtcPeers"]

#: Seconds that a client has, after its close frame, to close the connection itself.
LINGER: Final = 1.0

#: Seconds that the peers have to close when the server stops; each close is bounded by less.
STOP_TIMEOUT: Final = 5.0

#: Bytes that may wait in one client's channel before its session holds messages back.
HIGH_WATER_BYTES: Final = 256 * 1024

#: Messages of one client that may wait to be handled; a client with more does not read, and is cut off.
MAX_UNHANDLED: Final = 8192

#: Messages of one client that may wait for a broker before its packets are left unread.
MAX_WAITING: Final = 64


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
        """Whether the limit of peers is reached."""
        return len(self._tasks) >= self.max_peers

    async def answer(self, offer: str, request: ConnectRequest) -> str:
        """Make a peer for one client.

        Parameters
        ----------
        offer : str
            The client's session description.
        request : ConnectRequest
            What the client asks for, such as the session to resume.

        Returns
        -------
        str
            The server's session description.

        Raises
        ------
        ValueError
            When the offer cannot be read.
        """
        peer = LoopbackPeerConnection()
        client = _Client(self._node, peer, request)
        self._tasks[client] = asyncio.create_task(self._serve(client), name="webrtc peer")
        try:
            await peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
            client.check_opening()
            await peer.setLocalDescription()
        except BaseException:
            client.give_up()  # not cancelled: the task may not have begun
            raise
        return peer.localDescription.sdp

    async def _serve(self, client: _Client) -> None:
        """Run one peer until all its resources are released."""
        try:
            await client.run(self._open_timeout)
        finally:
            await client.close()
            del self._tasks[client]

    async def stop(self) -> None:
        """Drop every peer; the node has already closed those with a session."""
        tasks = list(self._tasks.values())
        for client in list(self._tasks):
            client.drop()  # not cancelled: a close that is under way would be cut short
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_TIMEOUT)
            for task in late:
                task.cancel()


class _Client:
    """One client from its offer to its end."""

    def __init__(self, node: Node, peer: LoopbackPeerConnection, request: ConnectRequest) -> None:
        self._node = node
        self._peer = peer
        self._request = request
        self._link: DataLink | None = None
        self._sink: DataChannelSink | None = None
        self._carrier: Sink | None = None  # the sink, or a batching sink in front of it
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
        ended = self._link.ended
        if ended is not None and (ended.clean or ended.code != 1006):
            # A close frame is on its way to the client, which then closes the connection itself.
            await _wait(self._gone, LINGER)

    def check_opening(self) -> None:
        """Drop a client whose request for a channel is malformed."""
        check_opening(self._peer.sctp, lambda: self._link is not None, self.give_up)

    def give_up(self) -> None:
        """Let `run` return: no channel will come."""
        self._begun.set()

    def drop(self) -> None:
        """Let `run` return, whatever the client does."""
        for event in (self._begun, self._ended, self._gone):
            event.set()

    async def close(self) -> None:
        """Close the peer, and return when none of its tasks and sockets is left."""
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
        link = self._link = DataLink(
            self._peer, channel, self._receive, self._end, high_water_bytes=HIGH_WATER_BYTES
        )
        self._begun.set()
        request = self._request
        if not _reliable(channel):
            # On an unreliable channel a client cannot tell how many messages it has missed: no resuming.
            request = msgspec.structs.replace(request, session=None, seq=0)
        sink = self._sink = DataChannelSink(link, JSON)
        if self._node.stopping:
            sink.close(1012, "the server restarts")
            return
        try:
            sink.codec = codec_for(channel.protocol or None)
            self._node.connections.make_place(request)  # other clients came meanwhile
        except (MessageError, Refused) as error:
            sink.close(1013 if isinstance(error, Refused) else 1008, str(error))
            return
        accepted = self._node.connections.accept(request)
        self._session = accepted.session
        window = request.batch
        if window is not None and link.max_message_bytes is not None:
            most = min(window.max_bytes, max(1, link.max_message_bytes - BATCH_SLACK_BYTES))
            window = dataclasses.replace(window, max_bytes=most)
        self._carrier = batched(sink, sink.codec, window)
        self._node.connections.attach(accepted, self._carrier)

    def _receive(self, frame: str | bytes) -> None:
        session, sink, link = self._session, self._sink, self._link
        if session is None or sink is None or link is None or sink.closing:
            return
        self._node.ingress.received_size += len(frame)
        result = self._node.ingress.receive(session, frame, sink.codec)
        if session.order.waiting > MAX_UNHANDLED:
            sink.close(4000, "too many messages wait to be handled: read your answers")
        elif isinstance(result, asyncio.Future) and session.order.waiting > MAX_WAITING:
            if session.held[0]:
                return  # its packets also acknowledge data: read on
            # The broker is slow: leave packets unread, so that flow control holds the client back.
            link.pause()
            result.add_done_callback(lambda _: link.resume())

    def _end(self, error: TransportClosed) -> None:
        self._ended.set()
        if self._session is not None and self._carrier is not None:
            self._node.connections.detach(
                self._session, self._carrier, ended=error.clean and error.code == 1000
            )


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _reliable(channel: RTCDataChannel) -> bool:
    return channel.ordered and channel.maxRetransmits is None and channel.maxPacketLifeTime is None
