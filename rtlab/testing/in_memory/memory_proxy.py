"""The fault proxy in memory: its own toxics and scripts, on the bytes between a mock and its peer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from rtlab.faults.fault_trace import Trace
from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.proxy.toxic_pipe import Pipe, PipePair
from rtlab.faults.script_player import Player
from rtlab.faults.seeded_fault_timeline import FaultScript
from rtlab.faults.toxics import ToxicEntry
from rtlab.protocol.http1_message_parser import NotHttp, parse_head
from rtlab.testing.fake_clock import loop_time
from rtlab.testing.mock.mock_frames import (
    ConnectionEnd,
    Item,
    PingFrame,
    PongFrame,
    Request,
    Response,
)

__all__ = ["MemoryProxy"]

MAX_HEAD_BYTES: Final = 16_384


class MemoryProxy(Proxy):
    """The network between mocks and their peer: pass it as a peer's ``link``.

    Parameters
    ----------
    seed : int
        Source of all randomness.

    Attributes
    ----------
    trace : Trace
        What the proxy did, as in the real proxy's trace.

    Examples
    --------
    >>> from rtlab.testing.fake_clock import FakeClock
    >>> from rtlab.testing.mock.mock_script_steps import PeerScript, echo
    >>> from rtlab.testing.mock.mock_websocket import MockWebSocket
    >>> from rtlab.testing.mock.scripted_peer import ScriptedPeer
    >>> proxy = MemoryProxy()
    >>> _ = proxy.add("latency", latency=200)
    >>> async def trip():
    ...     async with MockWebSocket(ScriptedPeer(PeerScript().answer(echo), link=proxy)) as ws:
    ...         await ws.send("hi")
    ...         return await ws.recv()
    >>> clock = FakeClock()
    >>> clock.run(trip()), round(clock.now, 2)
    ('hi', 0.6)
    """

    protocol: ClassVar[str] = "tcp"

    def __init__(self, seed: int = 0) -> None:
        super().__init__("memory", "127.0.0.1:0", "127.0.0.1:0", trace=Trace(clock=loop_time), seed=seed)
        self.enabled = True
        self._player = Player()

    def add(
        self,
        toxic: str,
        *,
        stream: Literal["upstream", "downstream"] = "downstream",
        name: str = "",
        toxicity: float = 1,
        **attributes: Any,
    ) -> ToxicEntry:
        """Add a toxic, to open connections too; `remove_toxic` takes its name.

        Raises
        ------
        FaultError
            As the real proxy does: for an unknown type, and a missing or negative attribute.
        """
        given = {"type": toxic, "stream": stream, "name": name, "toxicity": toxicity}
        return self.add_toxic({**given, "attributes": attributes})

    async def play(self, script: FaultScript) -> None:
        """Start playing a fault script; its times are those of the running event loop."""
        await self._player.start(self, script)

    async def _listen(self) -> str:
        return self.listen

    async def _close(self) -> None:
        pass

    def __call__(self, number: int, up: Callable[[Item], None], down: Callable[[Item], None]) -> _Way:
        """Make the link of one connection."""
        return _Way(self, up, down)


class _End:
    """One end of a proxied connection: exchanges bytes with the pipes, and items with a mock or its peer."""

    def __init__(self, *, client: bool, deliver: Callable[[Item], None]) -> None:
        self.sent = self.unread = self.backlog = 0
        self.over = False
        self.head = True
        self._client = client
        self._deliver = deliver
        self._link: _MemoryLink | None = None
        self._out: Pipe | None = None
        self._paused: list[bytes | None] | None = None
        self._buffer = b""
        self._request: Request | None = None
        self._reader = StreamReader()
        self._parser = self._frames()
        next(self._parser)

    def attach(self, link: _MemoryLink, out: Pipe) -> None:
        self._link, self._out = link, out

    # The source of a pipe

    def write(self, data: bytes | None) -> None:
        """Feed bytes, or the end of the stream (None), to the pipe; keep them while it has paused reading."""
        assert self._out is not None
        if self._paused is not None:
            self._paused.append(data)
        elif data is None:
            self._out.eof()
        else:
            self._out.feed(data)

    def pause_source(self) -> None:
        if self._paused is None:
            self._paused = []

    def resume_source(self) -> None:
        waiting, self._paused = self._paused or [], None
        for data in waiting:
            self.write(data)

    # The sink of a pipe

    def feed(self, data: bytes | memoryview) -> None:
        if self.over:
            return
        self.sent += len(data)
        try:
            self._parse(bytes(data))
        except (ProtocolError, NotHttp, ValueError):
            assert self._link is not None
            self.end(ConnectionEnd.PROTOCOL)
            self._link.end("rst", "", "the bytes are no WebSocket any more")

    def eof(self) -> None:
        assert self._link is not None
        self._link.end("fin", "", "closed")

    def end(self, how: ConnectionEnd) -> None:
        if not self.over:
            self.over = True
            self._deliver(how)

    def _parse(self, data: bytes) -> None:
        if self.head:
            self._buffer += data
            head = parse_head(self._buffer, response=self._client)
            if head is None:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise NotHttp
                return
            self.head, data = False, self._buffer[head.size :]
            assert self._link is not None
            if self._client:
                chosen = head.get(b"sec-websocket-protocol").decode("latin-1") or None
                wait = head.get(b"retry-after").decode("latin-1")
                self._deliver(Response(head.status, chosen, float(wait) if wait else None))
            else:
                self._deliver(self._link.request)
        if data:
            self._reader.feed_data(data)
            next(self._parser)

    def _frames(self) -> Generator[None, None, None]:
        while True:
            frame: Frame = yield from Frame.parse(
                self._reader.read_exact, mask=not self._client, max_size=None
            )
            if not self.over:
                self._deliver(_item(frame))


class _MemoryLink(PipePair):
    """One connection through the proxy."""

    def __init__(self, proxy: MemoryProxy, number: int, seed: str, client: _End, server: _End) -> None:
        super().__init__(number, proxy.name, seed, proxy.trace, client, server)
        self.request = Request("")
        self._ends = client, server
        self._proxy = proxy
        client.attach(self, self.up)
        server.attach(self, self.down)

    def start(self) -> None:
        self.record("opened")
        self._proxy.links.add(self)
        self.apply(self._proxy.entries)
        self.fresh = False

    def finish(self, how: str) -> None:
        self._proxy.forget(self)
        for end in self._ends:
            end.end(ConnectionEnd.RESET if how == "rst" else ConnectionEnd.FIN)

    def abandon(self) -> None:
        pass


class _Way:
    """The link that a mock and its peer see: items go in at one end, and come out at the other."""

    def __init__(self, proxy: MemoryProxy, up: Callable[[Item], None], down: Callable[[Item], None]) -> None:
        self._proxy = proxy
        self._client = _End(client=True, deliver=down)
        self._server = _End(client=False, deliver=up)
        number, seed = proxy.next_number()
        self._link = _MemoryLink(proxy, number, seed, self._client, self._server)
        self._refuse = down

    def up(self, item: Item) -> None:
        match item:
            case Request():
                if not self._proxy.enabled:
                    self._refuse(Response(0))
                    return
                self._link.request = item
                self._link.start()
                if not self._link.ended:
                    self._client.write(_request_bytes(item))
            case ConnectionEnd.FIN:
                self._client.write(None)
            case ConnectionEnd():
                self._client.over = True
                self._link.end("rst", "", "client reset")
            case _:
                self._client.write(_frame_bytes(item, mask=True))

    def down(self, item: Item) -> None:
        match item:
            case Response(0):
                # The proxy accepted the client before it could know that nothing listens behind it.
                self._link.end("rst", "", "upstream failed")
            case Response():
                self._server.write(_response_bytes(item))
            case ConnectionEnd.FIN:
                self._server.over = True
                self._server.write(None)
            case ConnectionEnd.PROTOCOL:
                self._server.write(b"\xff\xff\xff\xff")
            case ConnectionEnd():
                self._server.over = True
                self._link.end("rst", "", "upstream reset")
            case _:
                self._server.write(_frame_bytes(item, mask=False))

    def cut(self) -> None:
        self._link.end("rst", "", "the peer has gone")


def _request_bytes(request: Request) -> bytes:
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade"]
    if request.protocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(request.protocols)}")
    return "\r\n".join([*lines, "", ""]).encode()


def _response_bytes(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} X"]
    if response.status == 101:
        lines += ["Upgrade: websocket", "Connection: Upgrade"]
    if response.subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {response.subprotocol}")
    if response.retry_after is not None:
        lines.append(f"Retry-After: {response.retry_after:g}")
    return "\r\n".join([*lines, "", ""]).encode()


def _frame_bytes(item: Item, *, mask: bool) -> bytes:
    match item:
        case str():
            frame = Frame(Opcode.TEXT, item.encode())
        case bytes():
            frame = Frame(Opcode.BINARY, item)
        case PingFrame(data):
            frame = Frame(Opcode.PING, data)
        case PongFrame(data):
            frame = Frame(Opcode.PONG, data)
        case Close():
            frame = Frame(Opcode.CLOSE, b"" if item.code == 1005 else item.serialize())
        case _:
            raise AssertionError(f"no frame: {item!r}")
    return frame.serialize(mask=mask)


def _item(frame: Frame) -> Item:
    match frame.opcode:
        case Opcode.TEXT:
            return str(frame.data, "utf-8")
        case Opcode.PING:
            return PingFrame(bytes(frame.data))
        case Opcode.PONG:
            return PongFrame(bytes(frame.data))
        case Opcode.CLOSE:
            return Close.parse(frame.data)
        case _:
            return bytes(frame.data)
