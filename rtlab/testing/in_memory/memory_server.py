"""rtlab's own server without a socket: the real sessions, rooms and handlers serve mocks in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from multidict import MultiDict
from websockets.frames import Close

from rtlab.protocol.close_codes import cut_reason
from rtlab.protocol.json_and_messagepack_codecs import CODECS, JSON, Codec, codec_for
from rtlab.server.connect_request_parser import BadConnectRequest, read_connect_request
from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sinks.sink_interface import write_each
from rtlab.testing.fake_clock import loop_time
from rtlab.testing.mock.mock_frames import ConnectionEnd, Item, MakeLink, PingFrame, Request, Response
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.scripted_peer import PeerEnd, ScriptedPeer

__all__ = ["MemoryServer"]

_NO_SCRIPT: Final = PeerScript()


class _Sink:
    """A session's sink: it hands every frame to a peer's end at once, so nothing is ever queued."""

    transport: str = "websocket"

    def __init__(self, end: _ServedEnd, codec: Codec) -> None:
        self.codec = codec
        self.queued_bytes = 0
        self.congested = False
        self.written_bytes = 0
        self.close_code: int | None = None
        self._end = end

    def when_writable(self, then: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(then)

    def write(self, frame: EncodedFrame, position: int) -> None:
        data = frame.encoded(self.codec)
        self.written_bytes += len(data)
        self._end.send(data if self.codec.binary else data.decode())

    def write_burst(self, burst: Burst, position: int) -> None:
        write_each(self, burst, position)

    def flush(self) -> None:
        pass

    def close(self, code: int, reason: str = "") -> None:
        self.close_code = code if self.close_code is None else self.close_code
        self._end.close(code, cut_reason(reason).decode())

    def abort(self) -> None:
        self._end.reset()

    def heartbeat(self) -> bool:
        self._end.ping()
        return True


class _ServedEnd(PeerEnd):
    """The server's end of one connection."""

    def __init__(
        self, server: MemoryServer, node: Node, number: int, receive: Callable[[Item], None]
    ) -> None:
        super().__init__(server, _NO_SCRIPT, number, receive)
        self._node = node
        self._sink = _Sink(self, JSON)
        self._session: Session | None = None

    def _receive(self, item: Item) -> None:
        if self.over or self.gone:
            return
        match item:
            case Request():
                self._open(item)
            case str() | bytes():
                self._obey(item)
            case Close(code, _):
                self._sink.close_code = code if self._sink.close_code is None else self._sink.close_code
                self._leave(ended=code == 1000)
                # rtlab's server answers a close frame with the same code, without a reason.
                super()._receive(Close(code, ""))
            case ConnectionEnd():
                self._leave()
                super()._receive(item)
            case PingFrame():
                super()._receive(item)
            case _:
                pass

    def _open(self, request: Request) -> None:
        self.request = request
        try:
            asked = read_connect_request(MultiDict(parse_qsl(urlsplit(request.url).query)), {})
        except BadConnectRequest:
            self.over = True
            self.send_item(Response(400))
            return
        chosen = next((name for name in request.protocols if name in CODECS), None)
        self.agree(chosen)
        self._sink.codec = codec_for(chosen)
        accepted = self._node.connections.accept(asked)
        self._session = accepted.session
        self._node.connections.attach(accepted, self._sink)

    def _obey(self, data: str | bytes) -> None:
        session, node = self._session, self._node
        if session is None or self.closing:
            return
        self.received.append(data)
        self.wake()
        size = len(data.encode() if isinstance(data, str) else data)
        if size > node.options.max_message_bytes + 1:
            self.close(1009)
            return
        node.turns.enter(self._sink)
        try:
            node.ingress.receive(session, data, self._sink.codec)
        finally:
            node.turns.settle(self._sink)

    def _leave(self, *, ended: bool = False) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._node.connections.detach(session, self._sink, ended=ended)

    def reset(self, detail: str = "") -> None:
        self._leave()
        super().reset(detail)


class MemoryServer(ScriptedPeer):
    """rtlab's server in memory: the server's own code handles every message.

    Left out is what belongs to the network: HTTP, compression, TLS, the limits of handshakes, tokens.

    Parameters
    ----------
    options : Options, optional
        Options of the server; None: the defaults.
    link : callable, optional
        See `ScriptedPeer`.

    Examples
    --------
    >>> from rtlab.testing.fake_clock import FakeClock
    >>> from rtlab.testing.mock.transport_on_mock_websocket import mock_connection
    >>> async def talk():
    ...     async with mock_connection(MemoryServer()) as conn:
    ...         return (await conn.request("echo", {"n": 1})).payload
    >>> FakeClock().run(talk())
    {'n': 1}
    """

    def __init__(self, options: Options | None = None, *, link: MakeLink | None = None) -> None:
        super().__init__(link=link)
        self.node = Node(options if options is not None else Options(token="in memory"), loop_time)

    def accept(self, receive: Callable[[Item], None]) -> PeerEnd:
        """Make the server's end of a new connection."""
        self.connections.append(_ServedEnd(self, self.node, len(self.connections) + 1, receive))
        return self.connections[-1]
