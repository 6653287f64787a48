"""WebRTC as a client-server transport: messages on a data channel, signalled over HTTP.

One POST carries the client's offer and returns the server's answer. Everything after that
is UDP: ICE finds the path, DTLS encrypts, and SCTP provides streams of messages, ordered or
not, reliable or not. A WebSocket offers only one of these four combinations.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from aiortc import RTCSessionDescription

from rtlab.client.transports._webrtc_offer import post_offer
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.credentials_interface import Credentials
from rtlab.client.transports.transport_interface import FOREIGN_AFTER, DeliverDirectly
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.close_codes import close_code
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec, utf8_bytes
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume, session_of
from rtlab.protocol.urls import Origin
from rtlab.webrtc.data_channel_framing_and_pings import HIGH_WATER_BYTES, check_reliability
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection
from rtlab.webrtc.receive_queue import ReceiveQueue
from rtlab.webrtc.relay_candidate_rewrite import Relay, through_relay

__all__ = ["ADVISED_MESSAGE_BYTES", "WebRTCTransport"]

#: RFC 8831 §6.6: a larger message blocks all other channels of the connection, because
#: SCTP without interleaving sends all packets of one message before any other message.
ADVISED_MESSAGE_BYTES: Final = 16 * 1024


class WebRTCTransport:
    """One attempt to exchange messages over a WebRTC data channel.

    Parameters
    ----------
    url : str
        The server, ``http://host:port``; without a path, ``/rtc/offer`` is used.

    # Delivery
    ordered : bool
        Whether messages are delivered in the order in which they were sent.
    max_retransmits : int, optional
        Retransmissions after which a lost packet is given up.
    max_packet_life_time : float, optional
        Seconds after which a lost packet is given up. With both None, delivery is
        reliable; both together are refused (RFC 8831 §6.4).

    # Wire
    codec : Codec
        JSON or MessagePack; named in the channel's ``protocol`` field (RFC 8832 §5.1).
    headers : mapping, optional
        Extra headers of the signalling request.
    auth : Credentials, optional
        Proves to the server which user connects, for example `Tokens`.
    ssl : ssl.SSLContext, optional
        The TLS settings for ``https://``; None uses the usual certificate authorities.
    cookies : CookieStore, optional
        The cookies, shared with the connection's other transports.
    relay : callable, optional
        Called with the server's UDP port and awaited; returns the port of a relay in
        front of it, which all packets then pass, with the faults that it injects.

    # Injected
    clock : callable
        Returns monotonic seconds, for `ping` and `heard`.

    Notes
    -----
    Signalling runs over TCP and HTTP, so a proxy that breaks HTTP affects only the
    opening. A session can be resumed only on an ordered and reliable channel.
    """

    def __init__(
        self,
        url: str,
        *,
        # Delivery
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time: float | None = None,
        # Wire
        codec: Codec = JSON,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        ssl: ssl_module.SSLContext | None = None,
        cookies: CookieStore | None = None,
        relay: Relay | None = None,
        # Injected
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_reliability(max_retransmits, max_packet_life_time)
        self.name = "webrtc"
        self.confirms = False
        self.cursor: str | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.server_origin: Origin | None = None
        self.max_message_bytes = MAX_MESSAGE_BYTES
        self._url = url
        self._ordered = ordered
        self._max_retransmits = max_retransmits
        self._max_packet_life_time = max_packet_life_time
        self.codec = codec
        self._headers = headers
        self._auth = auth
        self._ssl = ssl
        self._cookies = cookies
        self._relay = relay
        self._clock = clock
        self._marked = False  # whether the answer is marked as an rtlab server's
        self._queue: ReceiveQueue | None = None

    @property
    def reliable(self) -> bool:
        """Whether the channel is ordered and reliable, as resuming a session needs."""
        return self._ordered and self._max_retransmits is None and self._max_packet_life_time is None

    @property
    def heard(self) -> float:
        """When anything last arrived on the channel, on `clock`; the server's pings count, too."""
        return self._queue.link.heard if self._queue is not None else 0.0

    # Opening

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait in the data channel to be sent."""
        return self._queue.link.buffered_bytes if self._queue is not None else 0

    async def open(self, resume: Resume) -> Message | None:
        """Signal, connect, and return the server's ``welcome``; None from a foreign server.

        Raises
        ------
        ConnectFailed
            The signalling request failed, or no path was found.
        """
        peer = LoopbackPeerConnection()
        life_time = self._max_packet_life_time
        channel = peer.createDataChannel(
            "rtlab",
            ordered=self._ordered,
            maxRetransmits=self._max_retransmits,
            maxPacketLifeTime=None if life_time is None else round(life_time * 1000),
            protocol=self.codec.subprotocol,
        )
        self._queue = queue = ReceiveQueue(peer, channel, clock=self._clock)
        link, ready = queue.link, False
        try:
            await peer.setLocalDescription()
            answer = await self._signal(peer.localDescription, resume)
            await peer.setRemoteDescription(answer)
            self.max_message_bytes = min(self.max_message_bytes, link.max_message_bytes or MAX_MESSAGE_BYTES)
            await link.opened()
            welcome = await self._welcome(queue)
            ready = True
            return welcome
        except TransportClosed as error:
            raise ConnectFailed(
                f"signalling worked, but the data channel ended with {error.code} "
                f"({error.reason or close_code(error.code).name}): can UDP pass on 127.0.0.1?",
                retryable=close_code(error.code).reconnect,
            ) from error
        except ValueError as error:
            raise ConnectFailed(f"the server's answer is of no use: {error}", retryable=False) from error
        finally:
            if not ready:
                link.abort()
                await link.closed()

    async def _signal(self, offer: RTCSessionDescription, resume: Resume) -> RTCSessionDescription:
        sdp, reroute = through_relay(offer.sdp, self._relay)
        if not self.reliable:
            resume = Resume(resume.client_id)
        answer, self.server_origin, self._marked = await post_offer(
            self._url,
            sdp,
            resume,
            headers=self._headers,
            ssl=self._ssl,
            cookies=self._cookies,
            auth=self._auth,
        )
        return RTCSessionDescription(sdp=await reroute(answer), type="answer")

    async def _welcome(self, queue: ReceiveQueue) -> Message | None:
        """Wait for the welcome, and keep earlier messages for `receive`.

        On a reliable channel an rtlab server's welcome comes first, and at once. On an unreliable
        one it may be late or lost: the connection's timeout then ends the attempt. Of a server that
        is not marked as rtlab's no welcome is expected.
        """
        early: list[str | bytes] = []
        late = self._marked and not self.reliable
        try:
            async with asyncio.timeout(None if late else FOREIGN_AFTER):
                while True:
                    data = await queue.get()
                    if (welcome := self._welcome_in(data)) is not None:
                        self.bytes_in += utf8_bytes(data)
                        return welcome
                    early.append(data)
                    if not late:
                        return None
        except TimeoutError:
            return None
        finally:
            queue.put_back(early)

    def _welcome_in(self, data: str | bytes) -> Message | None:
        try:
            message = self.codec.decode(data)
        except MessageError:
            return None
        return message if session_of(message) is not None else None

    # Messages

    async def receive(self, take: DeliverDirectly | None = None) -> Message:
        """Return the next message.

        Parameters
        ----------
        take : callable, optional
            Offered each message that arrives while this waits; see `Transport.receive`.

        Raises
        ------
        TransportClosed
            The channel has ended, and everything received has been returned.
        MessageError
            A frame is not a message; later frames can still be received.
        """
        queue = self._queue
        assert queue is not None
        frame = await queue.get(None if take is None else partial(self._offer, take))
        self.bytes_in += utf8_bytes(frame)
        return self.codec.decode(frame)

    def _offer(self, take: DeliverDirectly, frame: str | bytes) -> bool:
        try:
            message = self.codec.decode(frame)
        except MessageError:
            return False  # `receive` raises it
        # Counted first, so that a handler that reads the counters finds its own message in them.
        size = utf8_bytes(frame)
        self.bytes_in += size
        taken = take(message)
        if not taken:
            self.bytes_in -= size
        return taken

    async def send(self, message: Message) -> None:
        """Write one message; then wait while more than 1 MiB is buffered.

        Raises
        ------
        TransportClosed
            The channel has ended.
        MessageError
            The payload is not in the JSON data model.
        MessageTooLarge
            The message exceeds the largest data-channel message that the server accepts: its
            ``a=max-message-size``, 262,144 bytes for aiortc.
        """
        queue, codec = self._queue, self.codec
        assert queue is not None
        link = queue.link
        data = codec.encode(message, self.max_message_bytes)
        link.send(data if codec.binary else data.decode())
        self.bytes_out += len(data)
        if link.buffered_bytes > HIGH_WATER_BYTES:
            await link.drained()

    async def ping(self) -> float:
        """Return a round trip in seconds, by a ping frame on the data channel."""
        assert self._queue is not None
        return await self._queue.link.ping()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Exchange close frames, then close channel, association, DTLS and sockets."""
        if self._queue is not None:
            await self._queue.link.close(code, reason)

    def abort(self) -> None:
        """End at once. The socket closes a moment later; `closed` waits for it."""
        if self._queue is not None:
            self._queue.link.abort()

    @property
    def gone(self) -> bool:
        """Whether an aborted transport's tasks and sockets are gone, so that `closed` need not be awaited."""
        return self._queue is not None and self._queue.link.gone

    async def closed(self) -> None:
        """Return when an aborted transport has left no task and no socket."""
        if self._queue is not None:
            await self._queue.link.closed()
