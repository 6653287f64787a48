"""WebSocket, over the `websockets` library (RFC 6455)."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
)
from websockets.typing import Origin, Subprotocol

from rtlab.errors import ConnectFailed, TransportClosed
from rtlab.protocol.close_codes import close_code
from rtlab.protocol.codecs import JSON, Codec, codec_for
from rtlab.protocol.http_status import retry_after
from rtlab.protocol.messages import MAX_MESSAGE_BYTES, Message
from rtlab.protocol.resume import Resume

__all__ = ["WebSocketTransport"]

#: Bytes that may wait in the socket's buffer before `send` waits.
_WRITE_LIMIT: Final = 32_768
_FATAL_STATUS: Final = frozenset({400, 401, 403, 404, 405, 406, 410, 426})


class _Listener(ClientConnection):
    """Notes when bytes arrive, also those of a ping, which the library answers by itself."""

    heard = 0.0

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        super().data_received(data)


class WebSocketTransport:
    """One WebSocket.

    Parameters
    ----------
    url : str
        ``ws://`` or ``wss://``.
    codec : Codec
        What to ask the server for; a foreign server that picks none gets JSON.
    compression : {"deflate"} or None
        Offer permessage-deflate (RFC 7692).
    headers : mapping, optional
        Extra headers of the handshake.
    origin : str, optional
        The ``Origin`` header; browsers always send one.
    ssl : ssl.SSLContext, optional
        For ``wss://``; None is the system's trust.
    max_message_bytes : int
        The largest message to accept, and to send.
    send_timeout : float
        Seconds that `send` waits for a peer that does not read.
    """

    def __init__(
        self,
        url: str,
        *,
        codec: Codec = JSON,
        compression: Literal["deflate"] | None = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        send_timeout: float = 10.0,
    ) -> None:
        self.name = "websocket"
        self.confirms = False
        self.cursor: str | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.max_message_bytes = max_message_bytes
        self._max_receive = max_message_bytes
        self._send_timeout = send_timeout
        self._url = url
        self._codec = codec
        self._compression: Literal["deflate"] | None = compression
        self._headers = headers
        self._origin = Origin(origin) if origin is not None else None
        # `connect` tells "no ssl argument" from "ssl=None".
        self._tls: dict[str, Any] = {} if ssl is None else {"ssl": ssl}
        self._ws: ClientConnection | None = None

    @property
    def heard(self) -> float:
        """When any byte last arrived, monotonic seconds."""
        return self._ws.heard if isinstance(self._ws, _Listener) else 0.0

    async def open(self, resume: Resume) -> Message | None:
        """Shake hands; return the server's ``welcome``, None from a foreign server.

        Parameters
        ----------
        resume : Resume
            The session to continue.

        Raises
        ------
        ConnectFailed
            It says what to look at next; the cause is chained.
        """
        url = _with_resume(_checked(self._url), resume)
        try:
            self._ws = await connect(
                url,
                subprotocols=[Subprotocol(self._codec.subprotocol)],
                compression=self._compression,
                additional_headers=self._headers,
                origin=self._origin,
                max_size=self._max_receive,
                write_limit=_WRITE_LIMIT,
                # The owner's timeouts and heartbeat apply, not the library's.
                open_timeout=None,
                close_timeout=1.0,
                ping_interval=None,
                proxy=None,
                create_connection=_Listener,
                **self._tls,
            )
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise _explain(error, self._url) from error
        self._codec = codec_for(self._ws.subprotocol)
        if self._ws.subprotocol is None:
            return None
        try:
            return await self.receive()
        except TransportClosed as error:
            raise ConnectFailed(
                f"the server accepted the WebSocket and closed it at once with {error.code} "
                f"({error.reason or close_code(error.code).name})",
                retryable=close_code(error.code).reconnect,
            ) from error

    async def receive(self) -> Message:
        """Return the next message.

        Raises
        ------
        TransportClosed
            With the close code; 1006 when there was no close frame.
        MessageError
            For one frame that is not a message.
        """
        ws = self._ws
        assert ws is not None
        try:
            data = await ws.recv(decode=False)
        except ConnectionClosed as error:
            raise _closed(error) from error
        self.bytes_in += len(data)
        return self._codec.decode(data, self._max_receive)

    async def send(self, message: Message) -> None:
        """Write one message; waits while the socket's buffer is full.

        Raises
        ------
        TransportClosed
            The WebSocket has ended.
        MessageError
            The payload is not in the JSON data model, or too large.
        """
        ws, codec = self._ws, self._codec
        assert ws is not None
        data = codec.encode(message, self.max_message_bytes)
        try:
            if ws.transport.get_write_buffer_size() + len(data) <= _WRITE_LIMIT:
                await ws.send(data, text=not codec.binary)
            else:  # it may wait for the peer to read: not for ever
                async with asyncio.timeout(self._send_timeout):
                    await ws.send(data, text=not codec.binary)
        except ConnectionClosed as error:
            raise _closed(error) from error
        except TimeoutError as error:
            self.abort()  # else the frame would stay in the buffer, and arrive after all
            raise TransportClosed(1006, f"the peer has not read for {self._send_timeout:g} s") from error
        self.bytes_out += len(data)

    async def ping(self) -> float:
        """Return a round trip in seconds, by a ping frame (RFC 6455 §5.5.2)."""
        ws = self._ws
        assert ws is not None
        try:
            return await (await ws.ping())
        except ConnectionClosed as error:
            raise _closed(error) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Shake hands on the end; aborted after a second without an answer."""
        if self._ws is not None:
            await self._ws.close(code, reason)

    def abort(self) -> None:
        """Drop the socket."""
        if self._ws is not None:
            self._ws.transport.abort()


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("ws", "wss") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises on a port that is no number
    except (ValueError, AttributeError, TypeError) as error:  # the last two for what is no text
        raise ConnectFailed(
            f"expected a URL like ws://host:port/ws, got {url!r:.200}", retryable=False
        ) from error
    if not known:
        cause = InvalidURI(url, "the scheme is not ws or wss, or the host is missing")
        raise ConnectFailed(
            f"expected a URL that starts with ws:// or wss://, got {url!r}", retryable=False
        ) from cause
    return url


def _with_resume(url: str, resume: Resume) -> str:
    fields = resume.query()
    if not fields:
        return url
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(fields))))
    return urlunsplit(parts._replace(query=query))


def _closed(error: ConnectionClosed) -> TransportClosed:
    received = error.rcvd
    if received is not None:
        return TransportClosed(received.code, received.reason, clean=error.sent is not None)
    if error.sent is not None and error.sent.code in (1002, 1007, 1009):
        # Our side refused a frame: the same one would come again.
        return TransportClosed(error.sent.code, error.sent.reason)
    return TransportClosed(1006, "the connection was lost without a close frame")


def _reason(body: bytes | bytearray | None) -> str:
    """Return what a server of ours says in the body of its refusal, nothing of others'."""
    try:
        return str(msgspec.json.decode(body or b"")["error"]["message"])[:300]
    except (msgspec.DecodeError, LookupError, TypeError):
        return ""


def _explain(error: Exception, url: str) -> ConnectFailed:
    host = urlsplit(url).netloc
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        headers = error.response.headers
        hint, date = ("".join(headers.get_all(name)[:1]) for name in ("Retry-After", "Date"))
        why = _reason(error.response.body) or (
            "is the path right, and does every proxy on the way pass the Upgrade header?"
        )
        return ConnectFailed(
            f"the server at {host} answered HTTP {status} instead of 101 Switching Protocols: {why}",
            retryable=status not in _FATAL_STATUS and status >= 400,
            status=status,
            retry_after=retry_after(hint, date, now=time.time()),
        )
    if isinstance(error, InvalidURI):
        return ConnectFailed(f"expected a URL like ws://host:port/ws: {error}", retryable=False)
    if isinstance(error, NegotiationError):
        return ConnectFailed(
            f"the server at {host} chose a subprotocol that was not offered", retryable=False
        )
    if isinstance(error, ssl_module.SSLError):
        return ConnectFailed(f"TLS with {host} failed ({error}): check the certificate", retryable=False)
    if isinstance(error, InvalidHandshake | EOFError | ValueError | ConnectionResetError | BrokenPipeError):
        return ConnectFailed(f"{host} does not speak WebSocket: {error}", retryable=True)
    if isinstance(error, ConnectionRefusedError):
        return ConnectFailed(f"nothing listens at {host}: is the server running?")
    if isinstance(error, OSError):
        return ConnectFailed(f"no connection to {host}: {error.strerror or error}")
    return ConnectFailed(f"no connection to {host}: {error!r}")
