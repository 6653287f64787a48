"""``GET /ws``: the WebSocket transport."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import deque
from collections.abc import Generator
from typing import Any, Final, cast

from aiohttp import HttpVersion11, WSMsgType, web
from aiohttp._websocket.helpers import websocket_mask

from rtlab.protocol.close_codes import close_code
from rtlab.protocol.json_and_messagepack_codecs import CODECS, codec_for
from rtlab.protocol.websocket_framing import TEXT
from rtlab.server.deflate_negotiation import Agreement, agree
from rtlab.server.deliberate_security_holes import agrees_to_anything
from rtlab.server.endpoints.aiohttp_frame_checks import StrictFrames
from rtlab.server.endpoints.checks_before_connecting import BadOpening, read_opening
from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.http_json_responses import NODE, json_error
from rtlab.server.maybe_awaitable_values import settled
from rtlab.server.node import Node
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sinks.batching_sink import batched
from rtlab.server.sinks.sink_interface import Sink, bound_send_buffer
from rtlab.server.sinks.write_to_websocket import WebSocketSink

__all__ = ["websocket"]

#: Seconds from the close frame for a malformed or too large message to the end of the TCP connection:
#: with unread input, closing at once would reset the connection, and the close frame would be lost.
LINGER: Final = 1.0

_DATA: Final = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})
_PINGS: Final = frozenset({WSMsgType.PING, WSMsgType.PONG})

#: Headers that a response 426 must have (RFC 9110 §15.5.22, RFC 6455 §4.4).
UPGRADE_HEADERS: Final = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}

EXTENSIONS: Final = "Sec-WebSocket-Extensions"
PROTOCOL: Final = "Sec-WebSocket-Protocol"

#: Replaces aiohttp's queue of requests (0.7 kB) of a connection after the upgrade.
_NO_REQUESTS: Final[tuple[()]] = ()

#: 16 bytes in base64 (RFC 6455 §4.2.1); a pattern, because Python's decoder ignores illegal characters.
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")


def _is_handshake(request: web.Request, ws: web.WebSocketResponse) -> bool:
    """Whether a request is a WebSocket handshake as RFC 6455 §4.2.1 demands; aiohttp is laxer."""
    versions = request.headers.getall("Sec-WebSocket-Version", [])  # aiohttp also takes drafts 7 and 8
    keys = request.headers.getall("Sec-WebSocket-Key", [])
    return (
        request.version >= HttpVersion11  # HTTP/1.0 cannot upgrade (RFC 9110 §7.8)
        and [version.strip() for version in versions] == ["13"]
        and len(keys) == 1
        and _KEY.fullmatch(keys[0].strip()) is not None
        and bool(ws.can_prepare(request))
    )


class _Socket(web.WebSocketResponse):
    """aiohttp's WebSocket, with strict parsing, and with time for the client to read a close frame."""

    peer: asyncio.Transport | None = None
    sink: WebSocketSink | None = None
    agreement: Agreement | None = None
    queue: Any
    frames: StrictFrames

    def _handshake(self, request: web.BaseRequest) -> Any:
        # aiohttp's negotiation ignores the server's compression parameters, and limits for the client.
        headers, protocol, bits, alone = super()._handshake(request)
        # aiohttp reads only one of several header fields (RFC 6455 §11.3.4).
        asked = (name.strip() for given in request.headers.getall(PROTOCOL, []) for name in given.split(","))
        protocol = next((name for name in asked if name in CODECS), None)
        if protocol is not None:
            headers[PROTOCOL] = protocol
        if self.agreement is not None:
            headers[EXTENSIONS] = self.agreement.header
            bits = self.agreement.deflate.server_max_window_bits
            alone = self.agreement.deflate.server_no_context_takeover
        return headers, protocol, bits, alone

    def _post_start(self, request: web.BaseRequest, protocol: Any, writer: Any) -> None:
        connection: Any = request.protocol
        early, connection._message_tail = connection._message_tail, b""
        super()._post_start(request, protocol, writer)
        self.queue = cast("Any", self._reader)
        connection._payload_parser = self.frames = StrictFrames(connection._payload_parser, self.queue)
        if early:  # frames that came with the handshake
            self.frames.feed_data(early)

    def count_afterwards(self) -> None:
        """Inflate messages without a limit, and check their size afterwards: a hole of the naive setting."""
        self._max_msg_size = 0

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        try:
            return await self._close(code, message, drain)
        finally:
            error = self.exception()
            if error is not None:
                # The traceback refers to this socket, which refers to the error: break the reference cycle.
                error.__traceback__ = None

    async def _close(self, code: int, message: bytes, drain: bool) -> bool:
        if isinstance(self.exception(), zlib.error):
            code = 1007  # the data cannot be inflated; aiohttp would send 1000
        if self.sink is not None:
            self.sink.end()  # no frame follows a close frame (RFC 6455 §5.5.1)
        if code not in (1002, 1007, 1009) or self.closed:
            return await super().close(code=code, message=message, drain=drain)
        try:
            await self.send_frame(code.to_bytes(2, "big") + message, WSMsgType.CLOSE)
            # Input is read and dropped meanwhile; a client that leaves ends the wait.
            await asyncio.sleep(LINGER)
        except ConnectionError:
            pass
        if self.peer is not None:
            self.peer.abort()
        return True


async def websocket(request: web.Request) -> web.StreamResponse:
    """Serve one WebSocket from the upgrade to its end."""
    node = request.app[NODE]
    options = node.options
    ws = _Socket(
        autoclose=False,
        protocols=tuple(CODECS),
        autoping=False,  # the sink answers pings
        compress=False,  # see _handshake
        max_msg_size=options.max_message_bytes + 1,
        timeout=2.0,
    )
    if not _is_handshake(request, ws):
        if options.security == "naive" and (answer := agrees_to_anything(request.headers)) is not None:
            return web.Response(status=101, headers=answer)
        text = (
            "expected a WebSocket handshake: HTTP/1.1, Upgrade: websocket, Sec-WebSocket-Version: 13, a key"
        )
        return json_error(426, "upgrade_required", text, UPGRADE_HEADERS)
    try:
        asked = await read_opening(request)
    except BadOpening as error:
        return error.answer
    if options.compression is not None:
        ws.agreement = agree(options.compression, ", ".join(request.headers.getall(EXTENSIONS, [])))
        if options.security == "naive":
            ws.count_afterwards()
    await ws.prepare(request)
    transport = ws.peer = request.transport
    if transport is None:
        return ws
    bound_send_buffer(transport, options.send_buffer_bytes)

    sink = WebSocketSink(
        transport,
        codec_for(ws.ws_protocol),
        deflate=ws.agreement and ws.agreement.deflate,
        turns=node.turns,
    )
    ws.sink = sink
    accepted = node.connections.accept(asked)
    session = accepted.session
    carrier = batched(sink, sink.codec, asked.batch)
    node.connections.attach(accepted, carrier)
    # Free what an open connection does not need: the welcome, the parsed request, the headers that were
    # sent, and aiohttp's queue of requests, because no further request can come on this connection.
    del accepted, asked
    ws.headers.clear()
    connection = cast("Any", request.protocol)
    connection._messages = _NO_REQUESTS
    hearing = _Hearing(node, sink, session, ws.queue)
    ws.frames.when_fed, ws.frames.take_message = hearing.obey, hearing.take
    ended = False
    try:
        ended = await _receive(ws, sink, carrier, hearing, node.turns)
    finally:
        ws.frames.when_fed = ws.frames.take_message = None
        connection._messages = deque[Any]()
        node.connections.detach(session, carrier, ended=ended)
    return ws


class _Hearing:
    """Handles a client's messages in the same call that receives their bytes.

    Waking a task for each message would cost some 5 µs and a turn of the loop. The connection's task does
    the rest: it waits for results that are not available at once, and handles control frames and the end.

    Parameters
    ----------
    node : Node
        The server.
    sink, session : WebSocketSink and Session
        The client's connection and session.
    queue : aiohttp's WebSocketDataQueue
        Holds the messages that were received.
    """

    __slots__ = ("_ingress", "_max_bytes", "_messages", "_queue", "_session", "_sink", "_turns", "_waiter")

    def __init__(self, node: Node, sink: WebSocketSink, session: Session, queue: Any) -> None:
        self._ingress = node.ingress
        self._max_bytes = node.options.max_message_bytes
        self._turns = node.turns
        self._sink = sink
        self._session = session
        self._queue = queue
        self._messages: Generator[Any] | None = None  # an idle connection has none, which saves 0.2 KiB
        # Set while the connection's task waits in `rest`; at other times `obey` does nothing.
        self._waiter: asyncio.Future[asyncio.Future[Any] | None] | None = None

    def obey(self) -> None:
        """Handle the received messages, up to the first thing that the connection's task must handle."""
        waiter, received = self._waiter, self._queue._buffer
        if waiter is None or waiter.done():
            return
        messages = self._messages
        if messages is None:
            messages = self._messages = _messages(self._queue)
        self._turns.enter(self._sink)
        try:
            while received and received[0][0].type in _DATA:
                self._handle(next(messages).data, waiter)
                if waiter.done():
                    return
        finally:
            self._turns.settle(self._sink)  # the answers to all of them leave in one write
        if received or self._queue.is_eof():
            waiter.set_result(None)

    def take(self, data: bytes, start: int) -> bool:
        """Handle one whole message whose payload begins at `start`; return False to leave it to aiohttp.

        This spares most messages the way through aiohttp's parser and queue, which takes an echo a third of
        the server's own time.
        """
        waiter = self._waiter
        if waiter is None or waiter.done() or self._queue._buffer or len(data) - start > self._max_bytes:
            return False
        payload = bytearray(data[start:])
        websocket_mask(bytes(data[start - 4 : start]), payload)  # Windows' own loop gives a bytearray
        try:
            received = payload.decode() if data[0] & 0x0F == TEXT else bytes(payload)
        except UnicodeDecodeError:
            return False  # aiohttp refuses it with close code 1007
        self._turns.enter(self._sink, alone=True)
        try:
            self._handle(received, waiter)
        finally:
            self._turns.settle(self._sink)
        return True

    def _handle(self, data: bytes | str, waiter: asyncio.Future[asyncio.Future[Any] | None]) -> None:
        """Handle one message; pass what the connection's task must await, or an error, to the waiter."""
        sink, ingress = self._sink, self._ingress
        sink.heard()
        if sink.closing:
            return
        ingress.received_size += len(data)
        try:
            result = ingress.receive(self._session, data, sink.codec)
        except Exception as error:
            waiter.set_exception(error)
        else:
            if isinstance(result, asyncio.Future):
                waiter.set_result(result)

    async def rest(self) -> asyncio.Future[Any] | None:
        """Handle messages until a result must be awaited; return it, None for a control frame or the end."""
        self._waiter = asyncio.get_running_loop().create_future()
        self.obey()  # handle what came meanwhile
        try:
            return await self._waiter
        finally:
            self._waiter = None


def _messages(queue: Any) -> Generator[Any]:
    """Take the messages from a queue one by one, without a wait: only to be advanced if it is not empty.

    A generator, because running the queue's coroutine by its `send` would raise an exception per message.
    """
    while True:
        yield (yield from queue.read().__await__())


async def _receive(ws: _Socket, sink: WebSocketSink, carrier: Sink, hearing: _Hearing, turns: Turns) -> bool:
    """Handle messages until the connection ends; return whether the client has ended its session, too."""
    while True:
        result = await hearing.rest()
        if result is not None:
            # Read nothing more until this message has its answer: TCP's flow control holds the client back.
            sink.not_reading()
            await settled(result)
            sink.heard()
            continue
        message = await ws.receive()
        sink.heard()
        if message.type in _PINGS:
            if message.type is WSMsgType.PING:
                sink.pong(message.data)
                if sink.congested:
                    await _taken(sink)
            if turns.spent():
                # Nothing else suspends this task while control frames wait in the queue.
                await turns.later(lambda: None)
        elif message.type is WSMsgType.CLOSE:
            if message.data and not close_code(message.data).on_wire:
                await ws.close(code=1002)
                return False
            carrier.close(message.data or 1000)  # after the messages that it has collected
            sink.answer_close(message.data or 1000)
            return message.data == 1000
        else:
            sink.abort()
            return False


async def _taken(sink: WebSocketSink) -> None:
    """Read nothing more until a client has taken its pongs: TCP's flow control holds it back.

    They do not wait in its session, as messages do. The heartbeat ends a client that takes nothing.
    """
    sink.not_reading()
    while sink.congested:
        writable = asyncio.Event()
        sink.when_writable(writable.set)
        await writable.wait()
    sink.heard()
