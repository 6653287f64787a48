"""Graceful degradation done right: WebSocket, else an event stream, else long polling.

A constructor that returned proves nothing, and neither does an open socket: a
proxy can accept, answer and still let nothing through. A transport counts as
working when a first message has come back within a deadline, or from a foreign
server, which may wait to be spoken to, the answer to a ping.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec

from rtlab.client.circuit_breaker import CircuitBreaker
from rtlab.client.transports.base import Transport
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.messages import Message
from rtlab.protocol.session_resume import Resume

__all__ = ["Attempt", "Blocklist", "FallbackTransport"]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One transport tried.

    Parameters
    ----------
    transport : str
        Which.
    outcome : {"works", "refused", "skipped"}
        What came of it.
    reason : str
        Why it was refused or skipped, in one sentence.
    seconds : float
        How long it took to know.
    """

    transport: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0


class _Entry(msgspec.Struct):
    """What is known of one transport to one origin."""

    blocked_until: float = float("-inf")
    reason: str = ""
    short_lives: int = 0


class Blocklist:
    """Remembers, per origin, which transports did not work, and for how long to believe it.

    Share one among clients, so that the second need not learn it again.

    Parameters
    ----------
    reprobe_after : float
        Seconds after which a transport that did not work is tried again.
    short_life : float
        A connection that is lost within this many seconds had a short life.
    max_short_lives : int
        After so many in a row the transport counts as cut by something on the
        way, and the next one gets its turn.
    clock : callable
        Monotonic seconds.

    Examples
    --------
    >>> blocklist = Blocklist(clock=lambda: 0.0)
    >>> blocklist.block("example.org", "websocket", "no 101")
    >>> blocklist.blocked("example.org", "websocket")
    'no 101'
    """

    def __init__(
        self,
        *,
        reprobe_after: float = 300.0,
        short_life: float = 5.0,
        max_short_lives: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._reprobe_after = reprobe_after
        self._short_life = short_life
        self._max_short_lives = max_short_lives
        self._known: dict[tuple[str, str], _Entry] = {}

    def blocked(self, origin: str, transport: str) -> str:
        """Return why a transport is not worth trying now, or an empty string."""
        entry = self._known.get((origin, transport))
        if entry is None or self.clock() >= entry.blocked_until:
            return ""
        return entry.reason

    def block(self, origin: str, transport: str, reason: str, seconds: float | None = None) -> None:
        """Note that a transport did not work.

        Parameters
        ----------
        origin, transport : str
            Which, and where to.
        reason : str
            Why, in one sentence.
        seconds : float, optional
            How long to believe it, if a server said so (``Retry-After``); else, and at most,
            `reprobe_after`.
        """
        entry = self._entry(origin, transport)
        believed = self._reprobe_after if seconds is None else min(seconds, self._reprobe_after)
        entry.blocked_until, entry.reason, entry.short_lives = self.clock() + believed, reason, 0

    def lived(self, origin: str, transport: str, seconds: float) -> None:
        """Note how long a connection lasted before it was lost."""
        entry = self._entry(origin, transport)
        entry.short_lives = entry.short_lives + 1 if seconds < self._short_life else 0
        if entry.short_lives >= self._max_short_lives:
            reason = (
                f"lost {entry.short_lives} times within {self._short_life:g} s: something on the way cuts it"
            )
            self.block(origin, transport, reason)

    def forget(self, origin: str | None = None) -> None:
        """Forget one origin, or all: the next connect tries every transport again."""
        self._known = {key: entry for key, entry in self._known.items() if origin not in (None, key[0])}

    def _entry(self, origin: str, transport: str) -> _Entry:
        return self._known.setdefault((origin, transport), _Entry())


class FallbackTransport:
    """A transport that is whichever of several works first.

    To the connection above it is one transport like any other: the same state
    machine, the same resume, whatever is underneath.

    Parameters
    ----------
    origin : str
        The key for `blocklist`.
    candidates : mapping
        Name → maker of a transport, best first.
    blocklist : Blocklist
        What is known already.
    deadline : float
        Seconds that each candidate has for its first message.
    breakers : mapping
        A `CircuitBreaker` per name; an open one moves on to the next candidate.
    attempts : list
        Each `Attempt` is appended here.
    """

    def __init__(
        self,
        origin: str,
        candidates: Mapping[str, Callable[[], Transport]],
        blocklist: Blocklist,
        *,
        deadline: float,
        breakers: Mapping[str, CircuitBreaker],
        attempts: list[Attempt],
    ) -> None:
        self.name = "fallback"
        self._origin = origin
        self._candidates = candidates
        self._blocklist = blocklist
        self._deadline = deadline
        self._breakers = breakers
        self._attempts = attempts
        self._active: Transport | None = None
        self._opened_at = 0.0

    # What the active one has

    @property
    def active(self) -> Transport:
        """The transport that works."""
        if self._active is None:
            raise TransportClosed(1006, "no transport is open")
        return self._active

    @property
    def confirms(self) -> bool:
        """Whether the active transport confirms what it returns."""
        return self._active is not None and self._active.confirms

    @property
    def cursor(self) -> str | None:
        """The active transport's token."""
        return self._active.cursor if self._active is not None else None

    @property
    def bytes_in(self) -> int:
        """The active transport's encoded bytes received."""
        return self._active.bytes_in if self._active is not None else 0

    @property
    def bytes_out(self) -> int:
        """The active transport's encoded bytes sent."""
        return self._active.bytes_out if self._active is not None else 0

    @property
    def heard(self) -> float:
        """When the active transport last heard anything."""
        return self._active.heard if self._active is not None else 0.0

    @property
    def max_message_bytes(self) -> int:
        """The active transport's limit."""
        return self.active.max_message_bytes

    @max_message_bytes.setter
    def max_message_bytes(self, limit: int) -> None:
        self.active.max_message_bytes = limit

    # The interface of a transport

    async def open(self, resume: Resume) -> Message | None:
        """Try the candidates in order; return the first one's first message.

        Raises
        ------
        ConnectFailed
            None works. It lists why.
        """
        refusals: list[str] = []
        failed: dict[str, tuple[str, float | None]] = {}  # the reason, and the server's Retry-After
        retryable = False
        # What is known not to work has its turn last: the network may be another by now.
        known = {name: self._blocklist.blocked(self._origin, name) for name in self._candidates}
        later = [(name, make) for name, make in self._candidates.items() if known[name]]
        if len(later) == len(known):
            known, later = {}, []
        for name, make in (*self._candidates.items(), *later):
            breaker = self._breakers.get(name)
            remembered = known.pop(name, "")
            if remembered:
                self._note(name, "skipped", f"remembered: {remembered}")
                continue
            if breaker is not None and not breaker.allow():
                self._note(name, "skipped", "its circuit breaker is open")
                refusals.append(f"{name}: its circuit breaker is open")
                retryable = True
                continue
            began = self._blocklist.clock()
            transport = make()
            try:
                async with asyncio.timeout(self._deadline):
                    welcome = await transport.open(resume)
                    if welcome is None:  # a foreign server, or a path that holds back what it sends
                        await transport.ping()
            except (ConnectFailed, TransportClosed, MessageError, TimeoutError) as error:
                transport.abort()
                reason = _reason(error, self._deadline)
                retryable = retryable or not isinstance(error, ConnectFailed) or error.retryable
                refusals.append(f"{name}: {reason}")
                failed[name] = reason, getattr(error, "retry_after", None)
                self._note(name, "refused", reason, began)
                if breaker is not None:
                    breaker.record_failure()
                continue
            except BaseException:
                transport.abort()
                raise
            self._note(name, "works", "", began)
            if breaker is not None:
                breaker.record_success()
            # Only now is it known that the others' failures were theirs, not the server's.
            for other, (reason, hint) in failed.items():
                self._blocklist.block(self._origin, other, reason, hint)
            self._active, self.name, self._opened_at = transport, name, self._blocklist.clock()
            return welcome
        hints = [hint for _, hint in failed.values() if hint is not None]
        if not failed:  # each was held back by its breaker: the first of them to let a probe out counts
            hints = [min(self._breakers[name].wait for name in self._candidates)]
        raise ConnectFailed(
            "no transport works. " + "; ".join(refusals),
            retryable=retryable,
            retry_after=max(hints, default=None),
            attempts=len(failed),
        )

    def _note(self, name: str, outcome: str, reason: str, began: float | None = None) -> None:
        seconds = 0.0 if began is None else self._blocklist.clock() - began
        self._attempts.append(Attempt(transport=name, outcome=outcome, reason=reason, seconds=seconds))

    async def receive(self) -> Message:
        """Return the next message; a loss is remembered if the life was short."""
        try:
            return await self.active.receive()
        except TransportClosed as error:
            if not error.clean:
                self._blocklist.lived(self._origin, self.name, self._blocklist.clock() - self._opened_at)
            raise

    async def send(self, message: Message) -> None:
        """Send over the transport that works."""
        await self.active.send(message)

    async def ping(self) -> float:
        """Measure a round trip over the transport that works."""
        return await self.active.ping()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the transport that works."""
        await self.active.close(code, reason)

    def abort(self) -> None:
        """Drop the transport that works."""
        if self._active is not None:
            self._active.abort()


def _reason(error: Exception, deadline: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no first message within {deadline:g} s: something on the way holds it back"
    return str(error)
