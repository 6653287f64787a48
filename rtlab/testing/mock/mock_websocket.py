"""`MockWebSocket`: a WebSocket without a network, for code that knows `websockets` or a browser's API.

Ready states and the order of events follow the WHATWG standard; `send`, `recv`, `close` and ``async for``
behave as in the `websockets` library. For code that takes an rtlab `Connection`, use `mock_connection`.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from websockets.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ProtocolError,
)
from websockets.frames import OK_CLOSE_CODES, Close
from websockets.protocol import State

from rtlab.errors import RtlabError
from rtlab.protocol.close_codes import MAX_REASON_BYTES
from rtlab.testing.mock.dom_argument_checks import as_message, check_protocols, checked_url
from rtlab.testing.mock.dom_ready_state_and_events import PageEvents
from rtlab.testing.mock.imitated_handshake_refusals import refusal
from rtlab.testing.mock.mock_frames import ConnectionEnd, Item, PingFrame, PongFrame, Request, Response
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.scripted_peer import PeerEnd, ScriptedPeer
from rtlab.testing.recordings.journal import Journal

__all__ = ["MockWebSocket"]


class MockWebSocket(PageEvents):
    """One WebSocket to a peer in memory. It begins to connect at once, as a browser's does.

    Parameters
    ----------
    peer : ScriptedPeer or PeerScript, optional
        The other end; None: a peer that accepts and sends nothing by itself, and that the test
        drives by hand through the attribute `peer`.
    url : str
        ``ws://``, ``wss://``, ``http://`` or ``https://``.
    protocols : sequence of str
        The subprotocols to offer.
    close_timeout : float
        Seconds that the closing handshake may take; then the connection is dropped.

    Attributes
    ----------
    peer : PeerEnd
        The other end of this connection.

    Raises
    ------
    DOMError
        For a URL or a subprotocol that a browser refuses.
    RtlabError
        If no event loop is running.

    Examples
    --------
    >>> from rtlab.testing.fake_clock import FakeClock
    >>> from rtlab.testing.mock.mock_script_steps import PeerScript, echo
    >>> async def talk():
    ...     async with MockWebSocket(PeerScript().slow_open(2).answer(echo)) as ws:
    ...         await ws.send("hello")
    ...         return await ws.recv()
    >>> FakeClock().run(talk())
    'hello'
    """

    def __init__(
        self,
        peer: ScriptedPeer | PeerScript | None = None,
        url: str = "ws://mock.test/ws",
        *,
        protocols: Sequence[str] = (),
        close_timeout: float = 10.0,
    ) -> None:
        url = checked_url(url)
        offered = tuple(protocols)
        check_protocols(offered)
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RtlabError(
                "expected a running event loop, got none: make a MockWebSocket inside an async test, "
                "or inside a coroutine that FakeClock().run(…) runs"
            ) from None
        super().__init__(self._loop)
        self.url = url
        self.subprotocol: str | None = None
        self.heard = self._loop.time()
        self._close_timeout = close_timeout
        self._arrived: deque[str | bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._opened = asyncio.Event()
        self._closed = asyncio.Event()
        self._refused: Callable[[], Exception] | None = None
        self._rcvd: Close | None = None
        self._sent: Close | None = None
        self._rcvd_first: bool | None = None
        self._failed = False
        self._deadline: asyncio.TimerHandle | None = None
        self._pings: dict[bytes, tuple[float, asyncio.Future[float]]] = {}
        if not isinstance(peer, ScriptedPeer):
            peer = ScriptedPeer(peer if peer is not None else PeerScript())
        self.scripted_peer = peer
        self.peer: PeerEnd = peer.accept(self._receive)
        self._number = self.peer.number
        self._journal = self.peer.journal
        self._note = self._journal.note
        self._send_up = self.peer.send_up
        self._live = False  # open, and neither end is closing
        self._time = self._loop.time
        # A browser's constructor returns before it connects.
        self._loop.call_soon(self._dial, Request(url, offered))

    def __repr__(self) -> str:
        return f"<MockWebSocket {self._ready.name}>"

    @property
    def state(self) -> State:
        """The state as `websockets` has it: it changes with the frame, before the page's event."""
        if self._closed.is_set():
            return State.CLOSED
        if self._rcvd is not None or self._sent is not None:
            return State.CLOSING
        return State.OPEN if self._opened.is_set() and self._refused is None else State.CONNECTING

    @property
    def close_code(self) -> int | None:
        """The peer's close code, 1006 without a close frame; None before the connection has closed."""
        return None if not self._closed.is_set() else self._rcvd.code if self._rcvd is not None else 1006

    @property
    def close_reason(self) -> str | None:
        """The peer's close reason; None before the connection has closed."""
        return None if not self._closed.is_set() else self._rcvd.reason if self._rcvd is not None else ""

    @property
    def journal(self) -> Journal:
        """What happened on all connections to the peer."""
        return self._journal

    async def opened(self) -> None:
        """Wait until the handshake is answered.

        Raises
        ------
        OSError, websockets.exceptions.InvalidHandshake
            As `websockets.connect` does: `ConnectionRefusedError`, `InvalidStatus` …
        """
        await self._opened.wait()
        if self.ready_state == 0 and self._refused is None:
            await asyncio.sleep(0)  # the page's open event comes in this loop turn
        if self._refused is not None:
            raise self._refused()  # made anew: its traceback would keep this mock alive

    async def wait_closed(self) -> None:
        """Wait until the connection has closed."""
        await self._closed.wait()

    async def __aenter__(self) -> Self:
        await self.opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # As `websockets` does it

    async def send(self, message: str | bytes | Iterable[str | bytes]) -> None:
        """Send one message; an iterable holds the fragments of one message.

        Raises
        ------
        websockets.exceptions.ConnectionClosed
            If the connection is closed or closing.
        TypeError
            If the message is neither text nor bytes.
        """
        data = message if isinstance(message, (str, bytes)) else as_message(message)
        if self._live:
            self._note((self._time(), "client", "message", data, self._number))
            self._send_up(data)
            return
        if self._closed.is_set() or self._sent is not None or self._rcvd is not None:
            await self._wait_for_end()
            raise self._end()
        if not self._opened.is_set():
            await self.opened()
        self._up(data)

    async def recv(self) -> str | bytes:
        """Return the next message; raise only after all messages that came before the close.

        Raises
        ------
        websockets.exceptions.ConnectionClosed
            ``ConnectionClosedOK`` after 1000 or 1001, ``ConnectionClosedError`` otherwise.
        websockets.exceptions.ConcurrencyError
            If another `recv` is waiting.
        """
        if self._arrived and self._waiter is None:
            return self._arrived.popleft()
        if self._waiter is not None:
            raise ConcurrencyError(
                "cannot call recv while another coroutine is already running recv or recv_streaming"
            )
        while not self._arrived:
            if self._closed.is_set():
                raise self._end()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._arrived.popleft()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    async def ping(self, data: bytes | None = None) -> Awaitable[float]:
        """Send a ping; the returned awaitable gives the round-trip time in seconds."""
        if self._closed.is_set() or self._sent is not None:
            await self._wait_for_end()
            raise self._end()
        payload = data if data is not None else struct.pack("!I", len(self._pings) + 1)
        if payload in self._pings:
            raise ConcurrencyError("already waiting for a pong with the same data")
        future: asyncio.Future[float] = self._loop.create_future()
        self._pings[payload] = (self._loop.time(), future)
        self._up(PingFrame(payload))
        return future

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the peer's close frame; drop the connection after ``close_timeout``."""
        frame = Close(code, reason)
        frame.check()
        if len(reason.encode()) > MAX_REASON_BYTES:
            raise ProtocolError("control frame too long")
        if not self._opened.is_set():
            self._fail()
        self._begin_closing(frame)
        await self._wait_for_end()

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        if not self._closed.is_set():
            self._up(ConnectionEnd.RESET)
            self._over(ConnectionEnd.RESET)

    # To and from the network

    def _dial(self, request: Request) -> None:
        if not self._closed.is_set():
            self._up(request)

    def _up(self, item: Item) -> None:
        if isinstance(item, (str, bytes)):
            self._note((self._time(), "client", "message", item, self._number))
        elif isinstance(item, Close):
            text = f"{item.code} {item.reason}".strip()
            self._journal.add(self._time(), "client", "close", text, self._number)
        elif item is ConnectionEnd.RESET:
            self._journal.add(self._time(), "client", "reset", "", self._number)
        self._send_up(item)

    def _receive(self, item: Item) -> None:
        if not self._live and self._closed.is_set():
            return
        self.heard = self._time()
        if isinstance(item, (str, bytes)):
            if self._rcvd is None:
                self._arrived.append(item)
                if self._waiter is not None:
                    self._wake()
                if self.listens:
                    self._task(lambda: self._tell_message(item))
            return
        match item:
            case Response():
                self._answered(item)
            case Close():
                self._peer_closes(item)
            case PingFrame(data):
                self._up(PongFrame(data))
            case PongFrame(data):
                self._pong(data)
            case ConnectionEnd():
                self._over(item)
            case _:
                pass

    def _answered(self, response: Response) -> None:
        if self._opened.is_set():
            return
        if response.status == 101:
            self.subprotocol = response.subprotocol
            self._task(self._tell_open)  # before `opened` returns, so that both APIs agree
            self._opened.set()
            self._live = True
        else:
            self._refused = partial(refusal, response)
            self._fail()

    def _page_can_write(self) -> bool:
        return not self._closed.is_set() and not self.peer.gone

    def _fail(self) -> None:
        """Fail the connection (RFC 6455 §7.1.7) before it opened: an error event, then a close event."""
        self._failed = True
        if self._refused is None:
            self._refused = partial(ConnectionAbortedError, "the WebSocket was closed before it opened")
            self._send_up(ConnectionEnd.FIN)
        if not self._opened.is_set():
            self._opened.set()
        self._over(ConnectionEnd.FIN)

    def _peer_closes(self, frame: Close) -> None:
        if self._rcvd is not None:
            return
        self._rcvd = frame
        self._live = False
        if self._sent is None:
            self._rcvd_first = True
            self._sent = frame
            self._task(self._set_closing)
            self._up(frame)
        else:
            self._rcvd_first = False
            self._send_up(ConnectionEnd.FIN)

    def _begin_closing(self, frame: Close) -> None:
        if self._sent is None and not self._closed.is_set():
            self._sent = frame
            self._live = False
            self._deadline = self._loop.call_later(self._close_timeout, self.abort)
            self._task(self._set_closing)
            self._up(frame)

    def _over(self, how: ConnectionEnd) -> None:
        if self._closed.is_set():
            return
        if not self._opened.is_set():
            why = "the connection ended before the handshake was answered"
            self._refused = partial(ConnectionResetError, why)
            self._failed = True
            self._opened.set()
        self._failed = self._failed or how is ConnectionEnd.PROTOCOL
        self._live = False
        self._closed.set()
        if self._deadline is not None:
            self._deadline.cancel()
        for _, future in self._pings.values():
            if not future.done():
                future.set_exception(self._end())
                future.exception()  # retrieved, so that asyncio logs nothing
        self._wake()
        self._task(self._tell_end)

    def _pong(self, data: bytes) -> None:
        sent, future = self._pings.pop(data, (0.0, None))
        if future is not None and not future.done():
            future.set_result(self._loop.time() - sent)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait_for_end(self) -> None:
        if not self._closed.is_set():
            if self._deadline is None:
                self._deadline = self._loop.call_later(self._close_timeout, self.abort)
            await self.wait_closed()

    def _end(self) -> ConnectionClosed:
        rcvd, sent = self._rcvd, self._sent
        ok = rcvd is not None and sent is not None and {rcvd.code, sent.code} <= OK_CLOSE_CODES
        kind = ConnectionClosedOK if ok else ConnectionClosedError
        return kind(rcvd, sent, None if rcvd is None or sent is None else self._rcvd_first)

    def _tell_end(self) -> None:
        frame = self._rcvd or Close(1006, "")
        clean = self._rcvd is not None and self._sent is not None
        self._tell_close(frame.code, frame.reason, clean=clean, failed=self._failed)
