"""WebSocket, over the `websockets` library (RFC 6455)."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
)
from websockets.frames import TEXT, Frame
from websockets.protocol import State
from websockets.typing import Origin, Subprotocol

from rtlab.client.transports._batch_query import batches_within
from rtlab.client.transports._websocket_handshake_errors import explain_handshake
from rtlab.client.transports._wire_log import WIRE_LOG
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.credentials_interface import NOTHING, Credentials
from rtlab.client.transports.deflate_offer import Compression, offer
from rtlab.client.transports.transport_interface import FOREIGN_AFTER, DeliverDirectly
from rtlab.client.transports.websockets_library_subclass import WebSocketListener
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.close_codes import close_code
from rtlab.protocol.http_headers import check_headers
from rtlab.protocol.http_status_and_retry_after import REDIRECTS
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec, codec_for, utf8_bytes
from rtlab.protocol.limits import MAX_MESSAGE_BYTES, SLACK_BYTES
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume, session_of
from rtlab.protocol.urls import Origin as ServerOrigin
from rtlab.protocol.urls import parse_url

__all__ = ["WebSocketTransport", "closed_by"]

#: Bytes that may wait in the socket's buffer before `send` waits.
_WRITE_LIMIT: Final = 32_768


class _Connect(connect):
    """The library's opening handshake, which sends the caller's headers to their own origin only.

    Unlike the library's, it follows a redirect whose ``Location`` is an ``http`` URL, which is usual, and it
    keeps an empty query: ``/ws?`` and ``/ws`` are different URLs (RFC 3986 §6.2.3).
    """

    cookies: CookieStore

    async def open_tcp_connection(self) -> ClientConnection:
        """Connect to the server; called anew after each redirect."""
        ws = await super().open_tcp_connection()
        if parse_url(self.uri).query == "":
            target = ws.protocol.uri
            target.path = f"{target.resource_name}?"
        return ws

    def process_redirect(self, exc: Exception) -> Exception | str:
        if not isinstance(exc, InvalidStatus):
            return exc
        here, response = parse_url(self.uri), exc.response
        self.cookies.take(here, response.headers.get_all("Set-Cookie"))
        location = response.headers.get_all("Location")
        if response.status_code not in REDIRECTS or not location:
            return exc
        try:
            target = here.redirected(location[0].encode("latin-1"))  # as which the library decodes fields
        except ConnectFailed as error:
            return error
        known = dict(self.additional_headers or {}) if target.origin == here.origin else {}
        self.additional_headers = self.cookies.added_to(known, target)
        return str(target)


class WebSocketTransport:
    """One WebSocket, over the `websockets` library.

    Parameters
    ----------
    url : str
        ``ws://`` or ``wss://``; ``http://`` or ``https://`` work as well.
    codec : Codec
        The codec to ask the server for; with a foreign server that selects no subprotocol, JSON.
    compression : {"deflate"}, Deflate or None
        Offer permessage-deflate (RFC 7692), with the library's or with these parameters; a server
        may decline. `max_message_bytes` limits the decompressed size of received messages.
    headers : mapping, optional
        Extra headers of the opening handshake.
    origin : str, optional
        The ``Origin`` header; browsers always send one.
    auth : Credentials, optional
        Proves to the server which user connects, for example `Tokens`.
    ssl : ssl.SSLContext, optional
        The TLS settings for ``wss://``; None uses the system's certificate authorities.
    cookies : CookieStore, optional
        The cookies, shared with the connection's other transports.
    max_message_bytes : int
        The largest message to send and to accept, in bytes, not counting the server's additions.
    send_timeout : float
        Seconds that `send` waits for a peer that does not read, before it aborts the WebSocket.
    """

    def __init__(
        self,
        url: str,
        *,
        codec: Codec = JSON,
        compression: Compression = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        auth: Credentials | None = None,
        ssl: ssl_module.SSLContext | None = None,
        cookies: CookieStore | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        send_timeout: float = 10.0,
    ) -> None:
        self.name = "websocket"
        self.confirms = False
        self.cursor: str | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.server_origin: ServerOrigin | None = None
        self.max_message_bytes = max_message_bytes
        self._max_receive = max_message_bytes + SLACK_BYTES
        self._send_timeout = send_timeout
        self._url = url
        self.codec = codec
        self._compression = offer(compression)
        self._headers = headers
        self._auth = auth
        self._cookies = cookies if cookies is not None else CookieStore()
        self._origin = Origin(origin) if origin is not None else None
        # For `connect`, "no ssl argument" and "ssl=None" differ.
        self._tls: dict[str, Any] = {} if ssl is None else {"ssl": ssl}
        self._ws: WebSocketListener | None = None
        self._first: str | bytes | None = None  # what a foreign server sent while `open` waited

    @property
    def heard(self) -> float:
        """When any byte last arrived, in monotonic seconds."""
        return self._ws.heard if self._ws is not None else 0.0

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait in this process until the operating system accepts more."""
        ws = self._ws
        return ws.transport.get_write_buffer_size() + ws.waiting_bytes if ws is not None else 0

    async def open(self, resume: Resume) -> Message | None:
        """Do the opening handshake; return the server's ``welcome``, or None from a foreign server.

        Parameters
        ----------
        resume : Resume
            The session to continue.

        Raises
        ------
        ConnectFailed
            The message names the next step, and ``__cause__`` is the cause.
        """
        url = parse_url(self._url, "ws://host:port/ws").over("ws")
        proof = NOTHING if self._auth is None else await self._auth.opening(url)
        known = {**check_headers(self._headers, url.authorization), **proof.headers}
        headers = self._cookies.added_to(known, url)
        self.server_origin = url.origin
        try:
            asked = batches_within(url, self._max_receive).adding(**resume.query(), **proof.query)
            ws = self._ws = await self._shake_hands(str(asked), headers)
        except (asyncio.CancelledError, ConnectFailed):
            raise
        except Exception as error:
            raise explain_handshake(error, url) from error
        self.codec = codec_for(ws.subprotocol)
        # An rtlab server always selects the offered subprotocol, and sends its welcome at once.
        return None if ws.subprotocol is None else await self._welcome(ws)

    async def _shake_hands(self, url: str, headers: Mapping[str, str]) -> WebSocketListener:
        """Connect, and return the open WebSocket; a test overrides this to use another network."""
        opening = _Connect(
            url,
            subprotocols=[Subprotocol(self.codec.subprotocol)],
            **self._compression,
            additional_headers=headers,
            origin=self._origin,
            max_size=self._max_receive,
            write_limit=_WRITE_LIMIT,
            # The connection's timeouts and heartbeat apply, not the library's.
            open_timeout=None,
            close_timeout=1.0,
            ping_interval=None,
            proxy=None,
            logger=WIRE_LOG,
            create_connection=WebSocketListener,
            **self._tls,
        )
        opening.cookies = self._cookies
        ws = cast("WebSocketListener", await opening)
        there = parse_url(opening.uri)
        self.server_origin = there.origin
        if ws.response is not None:
            self._cookies.take(there, ws.response.headers.get_all("Set-Cookie"))
        return ws

    async def _welcome(self, ws: ClientConnection) -> Message | None:
        """Return the first message if it is a welcome; otherwise keep it for `receive`.

        A server that selects rtlab's subprotocol may still not speak it: some libraries (``ws``
        for Node) select the first subprotocol offered unless told otherwise.
        """
        try:
            async with asyncio.timeout(FOREIGN_AFTER):
                first = await ws.recv()
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            closed = closed_by(error)
            raise ConnectFailed(
                f"the server accepted the WebSocket and closed it at once with {closed.code} "
                f"({closed.reason or close_code(closed.code).name})",
                retryable=close_code(closed.code).reconnect,
            ) from error
        try:
            message = self.codec.decode(first, self._max_receive)
        except MessageError:
            message = None
        if message is None or session_of(message) is None:
            self._first = first
            return None
        self.bytes_in += utf8_bytes(first)
        return message

    async def receive(self, take: DeliverDirectly | None = None) -> Message:
        """Return the next message.

        Parameters
        ----------
        take : callable, optional
            Offered each message that arrives while this waits; see `Transport.receive`.

        Raises
        ------
        TransportClosed
            The WebSocket has ended. The error has the close code; 1006 without a close frame.
        MessageError
            A frame is not a message; later frames can still be received.
        """
        data = self._first
        if data is None:
            ws = self._ws
            assert ws is not None
            ws.take = None if take is None else partial(self._offer, take)
            try:
                # The library decodes text, not the codec, so that a text frame that is not
                # UTF-8 ends the connection with 1007 (RFC 6455 §8.1).
                data = await ws.recv()
            except ConnectionClosed as error:
                raise closed_by(error) from error
            finally:
                ws.take = None
        else:
            self._first = None
        self.bytes_in += utf8_bytes(data)
        return self.codec.decode(data, self._max_receive)

    def _offer(self, take: DeliverDirectly, frame: Frame) -> bool:
        try:
            data = str(frame.data, "utf-8") if frame.opcode is TEXT else bytes(frame.data)
            message = self.codec.decode(data, self._max_receive)
        except (UnicodeDecodeError, MessageError):
            return False  # `receive` raises it
        # Counted first, so that a handler that reads the counters finds its own message in them.
        self.bytes_in += len(frame.data)
        taken = take(message)
        if not taken:
            self.bytes_in -= len(frame.data)
        return taken

    async def send(self, message: Message) -> None:
        """Write one message; wait while the send buffer is full.

        Raises
        ------
        TransportClosed
            The WebSocket has ended.
        MessageError
            The payload is not in the JSON data model, or too large.
        """
        ws, text = self._ws, not self.codec.binary
        assert ws is not None
        data = self.codec.encode(message, self.max_message_bytes)
        try:
            if not self._has_room(ws, data):  # it waits for the peer to read, so it has a timeout
                async with asyncio.timeout(self._send_timeout):
                    await ws.send(data, text=text)
            elif message.type == "batch":  # for throughput: a write costs as much as ten messages
                self._write_together(ws, data)
            else:  # `broadcast` writes without waiting, in half the time of the library's `send`
                broadcast((ws,), data, text=text, raise_exceptions=True)
        except ConnectionClosed as error:
            raise closed_by(error) from error
        except ExceptionGroup as error:
            raise self._not_taken(error.exceptions[0].__cause__) from error
        except TimeoutError as error:
            self.abort()  # otherwise the frame would stay in the buffer, and might still arrive
            raise TransportClosed(1006, f"the peer has not read for {self._send_timeout:g} s") from error
        self.bytes_out += len(data)

    def send_at_once(self, batch: Message) -> bool:
        """Write a batch if the write need not wait; return whether it was written.

        Raises
        ------
        TransportClosed, MessageError
            As for `send`.
        """
        ws = self._ws
        assert ws is not None
        data = self.codec.encode(batch, self.max_message_bytes)
        if not self._has_room(ws, data):
            return False
        self._write_together(ws, data)
        self.bytes_out += len(data)
        return True

    def _write_together(self, ws: WebSocketListener, data: bytes) -> None:
        try:
            ws.write_together(data, text=not self.codec.binary)
        except Exception as error:  # it is unknown how much of the batch was written
            raise self._not_taken(error) from error

    def _not_taken(self, cause: BaseException | None) -> TransportClosed:
        self.abort()
        return TransportClosed(1006, f"the socket does not take the message: {cause}")

    def _has_room(self, ws: WebSocketListener, data: bytes) -> bool:
        """Return whether a write of `data` need not wait."""
        room = _WRITE_LIMIT - self.buffered_bytes
        return len(data) <= room and ws.state is State.OPEN and not ws.transport.is_closing()

    async def ping(self) -> float:
        """Return a round trip in seconds, by a ping frame (RFC 6455 §5.5.2)."""
        ws = self._ws
        assert ws is not None
        try:
            return await (await ws.ping())
        except ConnectionClosed as error:
            raise closed_by(error) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Do the closing handshake; without an answer within 1 s, abort."""
        if self._ws is not None:
            await self._ws.close(code, reason)

    def abort(self) -> None:
        """Drop the socket."""
        if self._ws is not None:
            self._ws.transport.abort()


def closed_by(error: ConnectionClosed) -> TransportClosed:
    """Turn the library's exception for an ended WebSocket into a `TransportClosed`."""
    received = error.rcvd
    if received is not None:
        return TransportClosed(received.code, received.reason, clean=error.sent is not None)
    if error.sent is not None and error.sent.code in (1002, 1007, 1009):
        # This end refused a frame; after a reconnect the same frame would come again.
        return TransportClosed(error.sent.code, error.sent.reason)
    return TransportClosed(1006, "the connection was lost without a close frame")
