"""The sessions of one server, by secret id; a session expires if its client does not return in time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

from rtlab.protocol.message_format import Message
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions, OverflowRules

__all__ = ["Sessions"]


class Sessions:
    """The sessions of one server, by secret id.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    limits : SessionLimits
        Limits of each session.
    rules : OverflowRules, optional
        Overflow policies for frames that a congested connection does not take.
    fan_out : FanOut, optional
        Delivers the messages of rooms to the sessions.
    new_id : callable
        Returns an id that cannot be guessed: whoever knows it can read the session's messages.

    Attributes
    ----------
    check_outgoing : callable or None
        `Session.check_outgoing` of sessions that are created from now on.
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
        # Sessions without a connection whose client never used them, the longest abandoned first.
        self._unused: dict[Session, None] = {}
        self._numbered = 0
        self.check_outgoing: Callable[[Message], None] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    @property
    def numbered(self) -> int:
        """Messages of all sessions, ended ones included; a replay is not counted again."""
        return self._numbered + sum(session.position for session in self)

    def get(self, session_id: str | None) -> Session | None:
        """Return the session with this id; None if there is none."""
        return None if session_id is None else self._sessions.get(session_id)

    def create(self, client_id: str, user: str) -> Session:
        """Begin a session."""
        session = Session(self._new_id(), client_id, user, self._limits, self.rules, self._fan_out)
        session.check_outgoing = self.check_outgoing
        session.detached_at = self._clock()
        self._sessions[session.session_id] = session
        return session

    def remove(self, session: Session) -> None:
        """Forget a session; an unknown one is no error."""
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
