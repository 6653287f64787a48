"""The other end of mocks in memory: a server that does what its scripts say, connection after connection."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConcurrencyError
from websockets.frames import Close

from rtlab.client.user_callback_errors import call
from rtlab.errors import RtlabError, describe
from rtlab.testing.message_pattern import as_frame, matches, words
from rtlab.testing.mock.mock_frames import (
    ConnectionEnd,
    Item,
    MakeLink,
    MemoryLink,
    PingFrame,
    PongFrame,
    Request,
    Response,
)
from rtlab.testing.mock.mock_script_steps import OPENING, PeerScript, PeerStep, ScriptError, check_peer_close
from rtlab.testing.mock.pending_pings import check_ping
from rtlab.testing.recordings.journal import Journal

__all__ = ["PeerEnd", "ScriptFailed", "ScriptedPeer"]


class ScriptFailed(AssertionError):
    """A client did something other than its script expected; the message draws what happened."""


def _nowhere(item: Item) -> None:
    pass


class PeerEnd:
    """The peer's end of one connection: follows its script, and can be driven by hand.

    Made by `ScriptedPeer.accept`.

    Attributes
    ----------
    number : int
        The connection's number, from 1.
    journal : Journal
        The journal of all connections of the peer.
    received : list of str or bytes
        All messages received from the client.
    request : Request or None
        The client's handshake; None before it.
    closed : Close or None
        The client's close frame; None before it.
    accepted, over, gone : bool
        Whether the handshake was answered with 101, the connection has ended, the peer has vanished.
    """

    def __init__(
        self, peer: ScriptedPeer, script: PeerScript, number: int, receive: Callable[[Item], None]
    ) -> None:
        self.number = number
        self.journal: Journal = peer.journal
        self.received: list[str | bytes] = []
        self.request: Request | None = None
        self.closed: Close | None = None
        self.accepted = False
        self.over = False
        self.gone = False
        self._peer = peer
        self._steps = deque(script.steps)
        self._current: PeerStep | None = None
        self._answer: Callable[[Any], Any] | None = None
        self._unread: deque[str | bytes] = deque()
        self._silent = False
        self._sent_close = False
        self._read_so_far = 0
        self._reader: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._link: MemoryLink | None = None
        #: Carries the client's items to this end: by a direct call, or through the link if there is one.
        self.send_up: Callable[[Item], None] = self._receive
        self._send_down = receive
        if peer.make_link is not None:
            self._link = peer.make_link(number, self._receive, receive)
            self.send_up, self._send_down = self._link.up, self._link.down

    # By hand

    def agree(self, subprotocol: str | None) -> None:
        """Answer the handshake with 101."""
        self.accepted = True
        self.journal.add(self._loop.time(), "peer", "accepts", subprotocol or "", self.number)
        self._send_down(Response(101, subprotocol))

    def send_item(self, item: Item) -> None:
        """Send an item other than a message, without a journal entry."""
        self._send_down(item)

    @property
    def closing(self) -> bool:
        """Whether this end has sent its close frame."""
        return self._sent_close

    def send(self, *messages: Any) -> None:
        """Send messages: text, bytes, or any values that JSON can encode."""
        for message in messages:
            data = as_frame(message)
            if not (self.over or self._sent_close):
                self._check_accepted("send")
                self.journal.note((self._loop.time(), "peer", "message", data, self.number))
                self._send_down(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake; raise `ScriptError` for a code or a reason that cannot be sent."""
        check_peer_close(code, reason)
        self._check_accepted("close")
        self._close(code, reason)

    def _close(self, code: int, reason: str) -> None:
        if not self.over and not self._sent_close:
            self._sent_close = True
            self.journal.add(self._loop.time(), "peer", "close", f"{code} {reason}".strip(), self.number)
            self._send_down(Close(code, reason))

    def ping(self, data: bytes = b"") -> None:
        """Send a ping; raise `ProtocolError` for more than 125 bytes."""
        check_ping(data)
        self._check_accepted("ping")
        if not self.over:
            self._send_down(PingFrame(data))

    def _check_accepted(self, what: str) -> None:
        if not (self.accepted or self.over):
            raise ScriptError(f"{what}: the handshake is not answered yet, so `await ws.opened()` first")

    def reset(self, detail: str = "") -> None:
        """Drop the connection without a close frame."""
        if not self.over:
            self.journal.add(self._loop.time(), "peer", "reset", detail, self.number)
            self._send_last(ConnectionEnd.RESET)

    def break_protocol(self) -> None:
        """Send bytes that are no valid frame: the client fails the connection (RFC 6455 §7.1.7)."""
        if not self.over:
            self.journal.add(self._loop.time(), "peer", "nonsense", "", self.number)
            self._send_last(ConnectionEnd.PROTOCOL)

    def vanish(self) -> None:
        """Leave the connection half-open from now on: read nothing, answer nothing."""
        self.gone = True
        self.journal.add(self._loop.time(), "peer", "vanishes", "", self.number)

    def _send_last(self, item: Item) -> None:
        self.over = True
        self._stop_timer()
        send_down, self._send_down = self._send_down, _nowhere  # frees the client: the peer outlives it
        send_down(item)

    # Receiving

    def _receive(self, item: Item) -> None:
        if self.over or self.gone:
            return
        if isinstance(item, (str, bytes)):
            self._read(item)
            return
        match item:
            case Request():
                self.request = item
                self._advance()
            case Close(code, reason):
                self.closed = item
                if self._sent_close:
                    self._send_last(ConnectionEnd.FIN)
                else:
                    self._close(code, reason)
                    self._send_last(ConnectionEnd.FIN)
            case PingFrame(data):
                self._send_down(PongFrame(data))
            case ConnectionEnd():
                self.over = True
                self._stop_timer()
                if self._link is not None:
                    self._link.cut()
            case _:
                pass

    def _read(self, data: str | bytes) -> None:
        self.received.append(data)
        if self._reader is not None:
            self.wake()
        if self._answer is not None:
            self._reply(self._answer, data)
        elif self._silent or self._sent_close:
            pass
        elif self._current is not None and self._current.do == "expect":
            self._judge(self._current, data)
        elif self._steps or self._timer is not None:
            self._unread.append(data)

    def _reply(self, answer: Callable[[Any], Any], data: str | bytes) -> None:
        frame, error = call(answer, data)
        if frame is not None and frame.__class__ is not str and frame.__class__ is not bytes:
            frame, error = call(as_frame, frame)
        if error is not None:
            self._fail(f"the answering function raised {describe(error)} for {words(data)}")
        elif frame is not None and not (self.over or self._sent_close):
            self.journal.note((self._loop.time(), "peer", "message", frame, self.number))
            self._send_down(frame)

    async def recv(self) -> str | bytes:
        """Return the next message that `recv` has not returned before; see also `received`.

        After the end it raises `RtlabError`; while another `recv` waits, `ConcurrencyError`.
        """
        if self._reader is not None:
            raise ConcurrencyError("cannot call recv while another coroutine is already running recv")
        while self._read_so_far >= len(self.received):
            if self.over:
                raise RtlabError("expected a message of the client, got the end of its connection")
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        self._read_so_far += 1
        return self.received[self._read_so_far - 1]

    def wake(self) -> None:
        """Wake a waiting `recv`, so that it checks for a message or the end."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # The script

    def _advance(self) -> None:
        """Run steps until one has to wait."""
        while not self.over and not self.gone:
            step = self._current = self._steps.popleft() if self._steps else None
            if not self.accepted and (step is None or step.do not in OPENING):
                self.agree(None)
            if step is None or not self._take(step):
                return

    def _take(self, step: PeerStep) -> bool:
        """Run one step; return whether the next one may follow at once."""
        do, data, seconds, code = step
        match do:
            case "slow_open" | "pause":
                self._timer = self._loop.call_later(seconds, self._on_time)
                return False
            case "refuse":
                why = str(code or "nobody listens")
                self.journal.add(self._loop.time(), "peer", "refuses", why, self.number)
                self._send_last(Response(code, None, data))
            case "accept":
                self.agree(data)
            case "expect":
                if self._unread:
                    return self._judge(step, self._unread.popleft(), at_once=True)
                if not math.isinf(seconds):
                    self._timer = self._loop.call_later(seconds, self._nothing_came, step)
                return False
            case "send":
                self.send(data)
            case "answer":
                self._answer = data
                while self._unread and not self.over:
                    self._reply(data, self._unread.popleft())
                self._for_a_while(seconds)
                return False
            case "stay_silent":
                self._silent = True
                self._unread.clear()
                self._for_a_while(seconds)
                return False
            case "half_open":
                self.vanish()
            case "close":
                self.close(code, data)
            case "reset_in_mid_frame":
                self.reset(f"after half of {len(data)} characters")
            case _:
                self.reset()
        return True

    def _for_a_while(self, seconds: float) -> None:
        if not math.isinf(seconds):
            self._timer = self._loop.call_later(seconds, self._on_time)

    def _on_time(self) -> None:
        self._timer = self._answer = None
        self._silent = False
        self._advance()

    def _judge(self, step: PeerStep, data: str | bytes, *, at_once: bool = False) -> bool:
        self._stop_timer()
        if not matches(step.data, data):
            self._fail(f"expected {words(step.data)}, got {words(data)}")
            return False
        if not at_once:
            self._advance()
        return True

    def _nothing_came(self, step: PeerStep) -> None:
        self._timer = None
        self._fail(f"expected {words(step.data)} within {step.seconds:g} s, got nothing")

    def _fail(self, text: str) -> None:
        self._peer.failures.append(f"connection {self.number}: {text}")
        self.reset("the script's expectation failed")

    def _stop_timer(self) -> None:
        self.wake()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def waits_for(self) -> str:
        """The messages that the script still expects, in words; empty if none."""
        ahead = ([self._current] if self._current is not None else []) + list(self._steps)
        return ", then ".join(words(step.data) for step in ahead if step.do == "expect")


class ScriptedPeer:
    """A server in memory: its n-th connection follows the n-th script, later connections the last script.

    Parameters
    ----------
    *scripts : PeerScript
        One for each connection; without any, the peer accepts and sends nothing.
    link : callable, optional
        Makes the network between client and peer: `MessageFaults` or `MemoryProxy`. None: a direct call.

    Attributes
    ----------
    connections : list of PeerEnd
        All connections so far, oldest first.
    journal : Journal
        What happened on all connections.
    failures : list of str
        The expectations of scripts that failed.

    Examples
    --------
    >>> peer = ScriptedPeer(PeerScript().refuse(), PeerScript().close(1012))
    >>> len(peer.connections)
    0
    """

    def __init__(self, *scripts: PeerScript, link: MakeLink | None = None) -> None:
        for script in scripts:
            given: Any = script
            if not isinstance(given, PeerScript):
                raise TypeError(f"expected scripts such as PeerScript().close(1012), got {given!r:.80}")
        self._scripts = scripts or (PeerScript(),)
        self.make_link = link
        self.connections: list[PeerEnd] = []
        self.journal = Journal()
        self.failures: list[str] = []

    def __repr__(self) -> str:
        return f"<ScriptedPeer: {len(self._scripts)} scripts, {len(self.connections)} connections so far>"

    def accept(self, receive: Callable[[Item], None]) -> PeerEnd:
        """Make the peer's end of a new connection; `receive` is called with each item that it sends."""
        number = len(self.connections)
        script = self._scripts[min(number, len(self._scripts) - 1)]
        self.connections.append(PeerEnd(self, script, number + 1, receive))
        return self.connections[-1]

    @property
    def current(self) -> PeerEnd:
        """The newest connection; raises `RtlabError` before the first."""
        if not self.connections:
            raise RtlabError("expected a connection, got none so far: let the client connect first")
        return self.connections[-1]

    def check(self, *, finished: bool = False) -> None:
        """Raise `ScriptFailed`, with a diagram, when an expectation failed.

        Parameters
        ----------
        finished : bool
            Whether it is a failure, too, if a script still waits for a message.
        """
        failures = list(self.failures)
        if finished:
            waiting = ((end.number, end.waits_for) for end in self.connections)
            failures += [f"connection {number}: still expected {what}" for number, what in waiting if what]
        if failures:
            raise ScriptFailed("\n".join([*failures, "What did happen:", self.journal.diagram()]))
