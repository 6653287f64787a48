"""The sessions of one server: found by their secret names, forgotten when nobody comes back for them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

from rtlab.protocol.messages import Message
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.session import Session
from rtlab.server.session_limits import SessionLimits
from rtlab.server.slow_consumer_queue import OverflowOptions, OverflowRules

__all__ = ["Sessions"]


class Sessions:
    """The sessions of one server, by their secret names.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    limits : SessionLimits
        Bounds of each.
    rules : OverflowRules, optional
        What becomes of frames that a connection does not take.
    fan_out : FanOut, optional
        What hands them the messages of their rooms.
    new_id : callable
        Makes a name that cannot be guessed: who knows it can read the messages.

    Attributes
    ----------
    check_outgoing : callable or None
        `Session.check_outgoing` of those that begin from now on.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limits: SessionLimits | None = None,
        *,
        rules: OverflowRules | None = None,
        fan_out: FanOut | None = None,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(12),
    ) -> None:
        self.rules = rules or OverflowRules(OverflowOptions(), clock)
        self._fan_out = fan_out
        self._clock = clock
        self._limits = limits or SessionLimits()
        self._new_id = new_id
        self._sessions: dict[str, Session] = {}
        # Those without a connection whose client did nothing yet, the longest without first.
        self._unused: dict[Session, None] = {}
        self._numbered = 0
        self.check_outgoing: Callable[[Message], None] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    @property
    def numbered(self) -> int:
        """Messages that sessions were sent, those that are gone included; a replay does not count again."""
        return self._numbered + sum(session.position for session in self)

    def get(self, session_id: str | None) -> Session | None:
        """Return a living session."""
        return None if session_id is None else self._sessions.get(session_id)

    def create(self, client_id: str, user: str) -> Session:
        """Begin a session."""
        session = Session(self._new_id(), client_id, user, self._limits, self.rules, self._fan_out)
        session.check_outgoing = self.check_outgoing
        session.detached_at = self._clock()
        self._sessions[session.session_id] = session
        return session

    def remove(self, session: Session) -> None:
        """Forget a session; one that is not there is no error."""
        session.over = True
        self._unused.pop(session, None)
        if self._sessions.pop(session.session_id, None) is not None:
            self._numbered += session.position

    def detached(self, session: Session) -> None:
        """Note that no connection carries a session any more."""
        if not session.used and session.session_id in self._sessions:
            self._unused[session] = None

    def unused(self) -> Session | None:
        """Return the session that has been without a connection for longest, of those never used."""
        while (session := next(iter(self._unused), None)) is not None:
            if not (session.used or session.present):
                break
            del self._unused[session]
        return session

    def expired(self) -> list[Session]:
        """Return the sessions that have been without a connection for too long."""
        before = self._clock() - self._limits.ttl
        return [s for s in self._sessions.values() if s.sink is None and s.detached_at <= before]
