"""The client's end of a WebSocket in memory: how it opens, receives, closes and fails (RFC 6455)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import OK_CLOSE_CODES, Close
from websockets.protocol import State

from rtlab.testing.mock.dom_ready_state_and_events import PageEvents
from rtlab.testing.mock.imitated_handshake_refusals import refusal, wrong_subprotocol
from rtlab.testing.mock.mock_frames import ConnectionEnd, Item, PingFrame, PongFrame, Request, Response
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.pending_pings import PendingPings
from rtlab.testing.mock.scripted_peer import PeerEnd, ScriptedPeer
from rtlab.testing.recordings.journal import Journal

__all__ = ["ClientEnd"]


class ClientEnd(PageEvents):
    """What a `MockWebSocket` is below its methods: its states, and the frames that it exchanges with a peer.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The running event loop.
    peer : ScriptedPeer, PeerScript or None
        The other end.
    url : str
        The URL of the handshake.
    offered : tuple of str
        The subprotocols to offer.
    close_timeout : float
        Seconds that the closing handshake may take; then the connection is dropped.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        peer: ScriptedPeer | PeerScript | None,
        url: str,
        offered: tuple[str, ...],
        close_timeout: float,
    ) -> None:
        super().__init__(loop)
        self._loop = loop
        self.url = url
        self.subprotocol: str | None = None
        self._offered = offered
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
        self._pings = PendingPings(self._loop)
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

    async def _check_open(self) -> None:
        """Wait until the handshake is answered; raise if the connection is closed or closing."""
        if not self._opened.is_set():
            await self.opened()
        if self._closed.is_set() or self._sent is not None:
            await self._wait_for_end()
            raise self._end()

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
        if not self._live and self._ignores(item):
            return
        self.heard = self._time()
        if isinstance(item, (str, bytes)):
            if self._rcvd is None:
                self._arrived.append(item)
                if self._waiter is not None:
                    self._wake()
                # A task that is ahead of this message, such as that of the open event, may add a listener.
                if self.listens or self._tasks:
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
                self._pings.answered(data)
            case ConnectionEnd():
                self._over(item)
            case _:
                pass

    def _ignores(self, item: Item) -> bool:
        # RFC 6455 §7.1.7: after a failure no data is processed, not even an answering close frame.
        return self._closed.is_set() or (self._failed and not isinstance(item, ConnectionEnd))

    def _answered(self, response: Response) -> None:
        if self._opened.is_set():
            return
        if response.status != 101:
            self._refused = partial(refusal, response)
            self._fail()
        elif response.subprotocol is not None and response.subprotocol not in self._offered:
            # RFC 6455 §4.1: the client must fail the connection
            self._refused = partial(wrong_subprotocol, response.subprotocol, self._offered)
            self._send_up(ConnectionEnd.FIN)
            self._fail()
        else:
            self.subprotocol = response.subprotocol
            self._task(self._tell_open)  # before `opened` returns, so that both APIs agree
            self._opened.set()
            self._live = True

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

    async def _fail_open(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455 §7.1.7) while it is open; wait for its end in any case."""
        if self._live:
            self._failed = True
            self._begin_closing(Close(code, reason))
        await self._wait_for_end()

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
        self._pings.end(self._end)
        self._wake()
        self._task(self._tell_end)

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
