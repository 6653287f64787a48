"""`MockWebSocket`: a WebSocket without a network, for code that knows `websockets` or a browser's API.

Ready states and the order of events follow the WHATWG standard; `send`, `recv`, `close` and ``async for``
behave as in the `websockets` library. For code that takes an rtlab `Connection`, use `mock_connection`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

from websockets.exceptions import ConcurrencyError, ConnectionClosedOK, ProtocolError
from websockets.frames import Close

from rtlab.errors import RtlabError
from rtlab.protocol.close_codes import MAX_REASON_BYTES
from rtlab.testing.mock.client_end_in_memory import ClientEnd
from rtlab.testing.mock.dom_argument_checks import check_protocols, checked_url
from rtlab.testing.mock.message_fragments import Sendable, as_message, fragments, joined
from rtlab.testing.mock.mock_frames import PingFrame
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.scripted_peer import ScriptedPeer

__all__ = ["MockWebSocket"]

_NOTHING: Final = object()


class MockWebSocket(ClientEnd):
    """One WebSocket to a peer in memory. It begins to connect at once, as a browser's does.

    Parameters
    ----------
    peer : ScriptedPeer or PeerScript, optional
        The other end; None: a peer that accepts and sends nothing by itself, and that the test
        drives by hand through the attribute `peer`.
    url : str
        ``ws://``, ``wss://``, ``http://`` or ``https://``.
    protocols : str or sequence of str
        The subprotocols to offer; text is one, as in a page.
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
        protocols: str | Sequence[str] = (),
        close_timeout: float = 10.0,
    ) -> None:
        url = checked_url(url)
        offered = (protocols,) if isinstance(protocols, str) else tuple(protocols)
        check_protocols(offered)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RtlabError(
                "expected a running event loop, got none: make a MockWebSocket inside an async test, "
                "or inside a coroutine that FakeClock().run(…) runs"
            ) from None
        super().__init__(loop, peer, url, offered, close_timeout)
        self._fragments = asyncio.Lock()  # held while the fragments of a message are being sent

    def __repr__(self) -> str:
        return f"<MockWebSocket {self._ready.name}>"

    async def __aenter__(self) -> Self:
        await self.opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # As `websockets` does it

    async def send(self, message: Sendable, *, text: bool | None = None) -> None:
        """Send one message; an iterable or asynchronous iterable holds the fragments of one.

        The peer receives a fragmented message when it is complete; without any fragment, nothing is sent.

        Parameters
        ----------
        message : str, bytes-like, iterable or async iterable
            Text becomes a text message, bytes a binary one.
        text : bool, optional
            Whether it becomes a text message in any case (True), or a binary one (False).

        Raises
        ------
        websockets.exceptions.ConnectionClosed
            If the connection is closed or closing.
        TypeError
            If the message is neither text nor bytes. If a fragment is neither, then the connection has
            failed with 1011.
        UnicodeDecodeError
            If bytes to be sent as text are no UTF-8. The library sends them, and the peer closes with 1007.
        """
        while self._fragments.locked():
            async with self._fragments:
                pass
        if text is None and isinstance(message, (str, bytes)):
            data = message
        elif isinstance(message, (str, bytes, bytearray, memoryview)):
            data = as_message(message, text)
        else:
            await self._send_fragments(message, text)
            return
        if not self._live:
            await self._check_open()
        self._note((self._time(), "client", "message", data, self._number))
        self._send_up(data)

    async def _send_fragments(self, message: Sendable, text: bool | None) -> None:
        async with aclosing(fragments(message)) as pieces:
            first = await anext(pieces, _NOTHING)
            if first is _NOTHING:
                return
            async with self._fragments:
                try:
                    data = await joined(first, pieces, text, self._check_open)
                except Exception:
                    await self._fail_open(1011, "error in fragmented message")
                    raise
                self._up(data)

    async def recv(self, decode: bool | None = None) -> str | bytes:
        """Return the next message; raise only after all messages that came before the close.

        Parameters
        ----------
        decode : bool, optional
            Whether to return text in any case (True), or bytes (False). If a message is no UTF-8 then,
            the connection fails with 1007.

        Raises
        ------
        websockets.exceptions.ConnectionClosed
            ``ConnectionClosedOK`` after 1000 or 1001, ``ConnectionClosedError`` otherwise.
        websockets.exceptions.ConcurrencyError
            If another `recv` is waiting.
        """
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
        data = self._arrived.popleft()
        if decode is None:
            return data
        try:
            return as_message(data, text=decode)
        except UnicodeDecodeError as error:
            await self._fail_open(1007, f"{error.reason} at position {error.start}")
            raise self._end() from None

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    async def ping(self, data: str | bytes | None = None) -> Awaitable[float]:
        """Send a ping; the returned awaitable gives the round-trip time in seconds.

        Raises
        ------
        websockets.exceptions.ConnectionClosed
            If the connection is closed or closing.
        websockets.exceptions.ConcurrencyError
            If another ping with the same data waits for its pong.
        websockets.exceptions.ProtocolError
            If the data takes more than 125 bytes.
        """
        await self._check_open()
        payload, future = self._pings.add(data)
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
        if self._fragments.locked():
            await self._fail_open(1011, "close during fragmented message")
        self._begin_closing(frame)
        await self._wait_for_end()
