"""What one client was sent: numbered, kept while unconfirmed, replayed after a lost connection."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from rtlab.protocol.messages import Message
from rtlab.server.auth.principal import Principal
from rtlab.server.feed import Feed
from rtlab.server.frames import Frame, RoomPosition
from rtlab.server.ordered_answers import InOrder
from rtlab.server.producers import Incarnation
from rtlab.server.sinks.base import Sink

__all__ = ["Ended", "Session", "SessionLimits", "Sessions"]


class Ended(NamedTuple):
    """Why the server ended a session.

    Parameters
    ----------
    close_code : int
        For transports that have them.
    code, text : str
        For programs, and for people.
    """

    close_code: int
    code: str
    text: str


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept for one client.

    Parameters
    ----------
    backlog_messages, backlog_bytes : int
        The most unconfirmed messages; older ones are given up, and a client that
        needs them gets a new session. The newest message is always kept.
    ttl : float
        Seconds that a session outlives its connection.
    """

    backlog_messages: int = 4096
    backlog_bytes: int = 512 * 1024
    ttl: float = 30.0


class Session:
    """One client's stream of messages, whatever carries it.

    Position 0 is before the first message; each message has the next position.
    No position travels in a message: both ends count.

    Parameters
    ----------
    session_id, client_id, user : str
        Its secret name, the client's own name, and whom presence shows.
    limits : SessionLimits
        Bounds.
    """

    __slots__ = (
        "_backlog", "_bytes", "_limits", "_positions", "address", "client_id", "detached_at", "ended",
        "feeds", "order", "outboxes", "position", "principal", "rooms", "session_id", "sink", "strikes",
        "unreadable", "user",
    )  # fmt: skip

    def __init__(self, session_id: str, client_id: str, user: str, limits: SessionLimits) -> None:
        self.session_id = session_id
        self.client_id = client_id
        self.user = user
        self.position = 0
        self.sink: Sink | None = None
        self.detached_at = 0.0
        # Messages of the client that could not be decoded.
        self.unreadable = 0
        # What it did that it should not; and why that ended it.
        self.strikes = 0.0
        self.ended: Ended | None = None
        # Whose it is, as credentials proved; None where nobody asks for any.
        self.principal: Principal | None = None
        # Where its newest connection comes from.
        self.address: str | None = None
        # The client's messages, while a broker has not answered for one of them.
        self.order = InOrder()
        # Those of the client's outboxes that it opened in this session, by their names.
        self.outboxes: dict[str, Incarnation] = {}
        # One entry per room that the session is in.
        self.rooms: dict[str, None] = {}
        self.feeds: dict[str, Feed] = {}
        self._limits = limits
        self._backlog: deque[Frame] = deque()
        self._bytes = 0
        # Where each room stood just before the first frame of the backlog.
        self._positions: dict[str, RoomPosition] = {}

    def __repr__(self) -> str:
        return f"Session(client_id={self.client_id!r}, position={self.position})"

    @property
    def present(self) -> bool:
        """Whether a connection carries the session now."""
        return self.sink is not None

    @property
    def backlog_bytes(self) -> int:
        """Bytes held for a replay; shared frames count in each session."""
        return self._bytes

    @property
    def floor(self) -> int:
        """The earliest position that a client can resume from."""
        return self.position - len(self._backlog)

    def send(self, message: Message) -> None:
        """Send a message to this client alone."""
        self.deliver(Frame(message))

    def deliver(self, frame: Frame) -> None:
        """Number a frame, keep it, and write it if there is a connection."""
        self.position += 1
        backlog, limits = self._backlog, self._limits
        backlog.append(frame)
        if self.sink is not None:
            self.sink.write(frame, self.position)
        self._bytes += frame.size_bytes or frame.measure()
        if self._bytes > limits.backlog_bytes or len(backlog) > limits.backlog_messages:
            self._trim()

    def _trim(self) -> None:
        limits, backlog = self._limits, self._backlog
        while len(backlog) > 1 and (
            len(backlog) > limits.backlog_messages or self._bytes > limits.backlog_bytes
        ):
            self._drop()

    def _drop(self) -> None:
        frame = self._backlog.popleft()
        self._bytes -= frame.size_bytes
        self._apply(self._positions, frame.positions)

    @staticmethod
    def _apply(positions: dict[str, RoomPosition], changes: tuple[RoomPosition, ...]) -> None:
        for change in changes:
            if change.offset is None:
                positions.pop(change.room_id, None)
            else:
                positions[change.room_id] = change

    def fits(self, frames: list[Frame]) -> bool:
        """Whether an empty backlog could hold these frames."""
        size = sum(frame.measure() for frame in frames)
        return len(frames) <= self._limits.backlog_messages and size <= self._limits.backlog_bytes

    def start_at(self, start: RoomPosition) -> None:
        """Record a room's place for a session that has not sent anything yet."""
        self._positions[start.room_id] = start

    def room_positions(self, position: int) -> dict[str, RoomPosition]:
        """Return where each room stood at a position that can be resumed."""
        positions = dict(self._positions)
        for frame in islice(self._backlog, position - self.floor):
            self._apply(positions, frame.positions)
        return positions

    def can_resume(self, position: int) -> bool:
        """Whether everything after a position is still here."""
        return self.floor <= position <= self.position

    def confirm(self, position: int) -> None:
        """Forget what the client has; a position out of range confirms nothing.

        Parameters
        ----------
        position : int
            The client has handled everything up to it.
        """
        if self.can_resume(position):
            for _ in range(position - self.floor):
                self._drop()

    def after(self, position: int) -> Iterator[tuple[int, Frame]]:
        """Iterate over (position, frame) of what came after a position."""
        start = max(position, self.floor)
        return enumerate(islice(self._backlog, start - self.floor, None), start + 1)

    def attach(self, sink: Sink) -> Sink | None:
        """Let a connection carry the session; the caller has written the welcome.

        Parameters
        ----------
        sink : Sink
            Gets every frame from now on.

        Returns
        -------
        Sink or None
            The one that is replaced, to be closed by the caller.
        """
        former, self.sink = self.sink, sink
        return former

    def detach(self, sink: Sink, now: float) -> bool:
        """Note that a connection has ended; False if another one carries the session."""
        if self.sink is not sink:
            return False
        self.sink = None
        self.detached_at = now
        return True


class Sessions:
    """The sessions of one server, by their secret names.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    limits : SessionLimits
        Bounds of each.
    new_id : callable
        Makes a name that cannot be guessed: who knows it can read the messages.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limits: SessionLimits | None = None,
        *,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(12),
    ) -> None:
        self._clock = clock
        self._limits = limits or SessionLimits()
        self._new_id = new_id
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def get(self, session_id: str | None) -> Session | None:
        """Return a living session."""
        return None if session_id is None else self._sessions.get(session_id)

    def create(self, client_id: str, user: str) -> Session:
        """Begin a session."""
        session = Session(self._new_id(), client_id, user, self._limits)
        session.detached_at = self._clock()
        self._sessions[session.session_id] = session
        return session

    def remove(self, session: Session) -> None:
        """Forget a session; one that is not there is no error."""
        self._sessions.pop(session.session_id, None)

    def expired(self) -> list[Session]:
        """Return the sessions that have been without a connection for too long."""
        before = self._clock() - self._limits.ttl
        return [s for s in self._sessions.values() if s.sink is None and s.detached_at <= before]
