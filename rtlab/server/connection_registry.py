"""Registers a server's open connections, attaches each to a new or a resumed session, and ends sessions."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from rtlab.protocol.close_codes import CloseCodeLabels
from rtlab.protocol.limits import MAX_DEPTH
from rtlab.protocol.message_format import Message
from rtlab.server.connect_request_parser import ConnectRequest
from rtlab.server.event_loop.high_resolution_timer import timer_kind
from rtlab.server.frames_encoded_once import EncodedFrame, RoomPosition, error_message, sendable
from rtlab.server.refusal_and_end_reasons import AnswerPayload, Ended, Refused
from rtlab.server.rooms.name_and_join_rules import MAX_ROOMS, check_entry
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.server.server_options import Options
from rtlab.server.sessions.session_registry_and_expiry import Sessions
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sinks.sink_interface import Sink

__all__ = ["Accepted", "Connections"]

#: Sessions per allowed connection: a session that waits for its client costs less than a connection.
SESSIONS_PER_CONNECTION: Final = 4

#: Client ids for which the server remembers the user.
MAX_OWNERS: Final = 20_000


class Accepted(NamedTuple):
    """A session that is ready for a connection.

    Parameters
    ----------
    session : Session
        Resumed or new.
    position : int
        Position of the last message that the client has; the replay begins behind it.
    resumed : bool
        Whether the client continues its session without a gap.
    welcome : EncodedFrame
        The first message; it has no position.
    missed : list of EncodedFrame
        What the client missed in the rooms of a new session; these frames have no position yet.
    after : str or None
        Close code of a returning client's former connection (as in `Connections.ended`), or
        ``"unknown"`` where this node does not know its session; None for a client that is new.
    """

    session: Session
    position: int
    resumed: bool
    welcome: EncodedFrame
    missed: list[EncodedFrame]
    after: str | None = None


class Connections:
    """The open connections of one server; attaches them to sessions, and ends sessions.

    Parameters
    ----------
    options : Options
        Limits, and what the welcome says.
    hub, sessions : Hub and Sessions
        The server's rooms and sessions.
    clock : callable
        Seconds, monotonic.
    boot_id : str or None
        Sent in the welcome: clients with the same boot id read the same monotonic clock.

    Attributes
    ----------
    sinks : dict of Sink to Session
        The open connections, and the session of each.
    opened : Counter
        Connections opened, by transport. Polls are left out, here and in `ended`.
    ended : Counter
        Connections ended, by (transport, close code): ``"1006"`` for one that broke, ``"none"`` for
        an event stream that the client left.
    reconnected : Counter
        Clients that came back, by `Accepted.after`.
    when_attached : callable
        Called with each new connection.
    check_right : callable or None
        Raises `Refused` where a session may not enter a room; None lets everybody in.
    """

    def __init__(
        self,
        options: Options,
        hub: Hub,
        sessions: Sessions,
        clock: Callable[[], float],
        boot_id: str | None,
    ) -> None:
        self.sinks: dict[Sink, Session] = {}
        self.opened: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self._codes = CloseCodeLabels()
        self.reconnected: Counter[str] = Counter()
        self._written: Counter[str] = Counter()
        self.when_attached: Callable[[Sink], object] = lambda sink: None
        self._options = options
        self._hub = hub
        self._clock = clock
        self._boot_id = boot_id
        self._sessions = sessions
        self.check_right: Callable[[Session, Literal["publish", "subscribe"], str], None] | None = None
        hub.make_place = self._end_unused
        # Client id → the first user who used it.
        self._owners: dict[str, str] = {}

    def written_bytes(self) -> Counter[str]:
        """Return the bytes written per transport, ended connections included; poll answers are left out."""
        found = Counter(self._written)
        for sink in self.sinks:
            found[sink.transport] += sink.written_bytes
        return found

    @property
    def full(self) -> bool:
        """Whether the limit of connections is reached; a client that resumes a session is let in anyway."""
        return len(self.sinks) >= self._options.max_connections

    def make_place(self, request: ConnectRequest) -> None:
        """Raise `Refused` when there is no place for another session.

        If sessions that wait for their clients take all the places, the oldest abandoned one whose client
        never used it is ended. So clients that connect and do nothing displace only each other.

        Parameters
        ----------
        request : ConnectRequest
            What the client asks for. Resuming a session needs no new place.
        """
        if self.resumed_by(request) is not None:
            return
        most = self._options.max_connections
        if self.full:
            raise Refused("full", f"the server has its {most:,} connections: try again later")
        most *= SESSIONS_PER_CONNECTION
        if len(self._sessions) >= most and not self._end_unused():
            raise Refused("full", f"the server keeps its {most:,} sessions: try again later")

    def _end_unused(self) -> bool:
        """End the oldest abandoned session whose client never used it; return whether there was one."""
        session = self._sessions.unused()
        if session is not None:
            self.end(session)
        return session is not None

    def check_user(self, request: ConnectRequest) -> None:
        """Raise `Refused` for a client that asks to resume another user's session."""
        session = self._sessions.get(self._asked(request)[0])
        if session is not None and request.user not in (None, session.user):
            text = f"this session is {session.user!r}'s: {request.user!r} needs a connection of its own"
            raise Refused("wrong_user", text)

    @staticmethod
    def _asked(request: ConnectRequest) -> tuple[str | None, int]:
        """Return the session that a client asks to resume, and the last position that it handled."""
        cursor = request.cursor
        if cursor is not None and request.session in (None, cursor.session):
            return cursor.session, cursor.position
        return request.session, request.seq

    def resumed_by(self, request: ConnectRequest) -> Session | None:
        """Return the session that a request resumes; None if it is unknown, another client's or user's."""
        session = self._sessions.get(self._asked(request)[0])
        user = request.user if request.principal is None else request.principal.user
        if session is None or request.client_id not in (None, session.client_id):
            return None
        return session if user in (None, session.user) else None

    def accept(self, request: ConnectRequest) -> Accepted:
        """Resume the session that a client asks for if nothing that it needs is lost, else begin a new one.

        Parameters
        ----------
        request : ConnectRequest
            What the client asks for.

        Returns
        -------
        Accepted
            Must be passed to `attach` in the same turn of the loop.
        """
        client_id, cursor, principal = request.client_id, request.cursor, request.principal
        asked, position = self._asked(request)
        session = self.resumed_by(request)
        after = None if asked is None else "unknown" if session is None else session.close_code
        if session is not None:
            # Number the frames that the former connection did not take: this one replays them.
            session.release()
            if session.can_resume(position):
                session.confirm(position)
                session.used = True
                session.address, session.principal = request.address, principal
                session.overflow = request.overflow
                return self._accepted(session, position, [], {}, resumed=True, after=after)
            # Messages that the client needs are gone; it gets a new session in place of this one.
            self.end(session)
        if client_id is None:
            client_id = secrets.token_urlsafe(9)
        user = request.user or client_id
        if principal is not None:
            user = principal.user
            client_id = self._owned(client_id, user)
        session = self._sessions.create(client_id, user)
        session.address, session.principal = request.address, principal
        session.overflow = request.overflow
        missed: list[EncodedFrame] = []
        rooms: dict[str, AnswerPayload] = {}
        for place in () if cursor is None else cursor.rooms:
            self._enter(session, place.room_id, place, rooms, missed)
        for room_id in request.rooms:
            if room_id not in rooms:
                self._enter(session, room_id, None, rooms, missed)
        return self._accepted(session, 0, missed, rooms, resumed=False, after=after)

    def _owned(self, client_id: str, user: str) -> str:
        """Return the client id if it is this user's, else a fresh one: each numbers its own messages."""
        owners = self._owners
        if owners.setdefault(client_id, user) != user:
            client_id = secrets.token_urlsafe(9)
            owners[client_id] = user
        while len(owners) > MAX_OWNERS:
            del owners[next(iter(owners))]
        return client_id

    def _enter(
        self,
        session: Session,
        room_id: str,
        place: RoomPosition | None,
        rooms: dict[str, AnswerPayload],
        missed: list[EncodedFrame],
    ) -> None:
        try:
            check_entry(self._hub, session.rooms, room_id)
            if self.check_right is not None:
                self.check_right(session, "subscribe", room_id)
        except Refused as error:
            rooms[room_id] = {"recovered": False, "error": {"code": error.code, "message": str(error)}}
            return
        epoch, offset = (None, None) if place is None else (place.epoch, place.offset)
        joined = self._hub.join(session, room_id, epoch, offset)
        session.rooms[room_id] = None
        if not session.fits(missed + joined.missed):
            # The backlog cannot hold this many frames, and a polling client reads from the backlog alone.
            joined = self._hub.join(session, room_id)._replace(recovered=False)
        here = joined.missed if session.fits(missed + joined.missed) else []
        missed += here
        start = joined.offset - len(here)
        session.start_at(RoomPosition(room_id, joined.epoch, start))
        head = joined.recovered and place is not None
        offset = joined.offset if head else start
        rooms[room_id] = {"recovered": joined.recovered, "epoch": joined.epoch, "offset": offset}

    def _accepted(
        self,
        session: Session,
        position: int,
        missed: list[EncodedFrame],
        rooms: dict[str, AnswerPayload],
        *,
        resumed: bool,
        after: str | None,
    ) -> Accepted:
        payload: dict[str, Any] = {
            "clientId": session.client_id,
            "session": session.session_id,
            "bootId": self._boot_id,
            "node": self._options.node,
            "resumed": resumed,
            "seq": position,
            "limits": {
                "maxMessageBytes": self._options.max_message_bytes,
                "maxDepth": MAX_DEPTH,
                "maxRooms": MAX_ROOMS,
            },
            # For how long, and for how many messages, a repeat is answered with the first result.
            "outbox": self._options.producers.as_welcome(),
            "heartbeat": self._options.heartbeat,
            "feedTimer": timer_kind(),
        }
        if rooms:
            payload["rooms"] = rooms
        welcome = EncodedFrame(sendable(Message("welcome", payload), session.check_outgoing))
        return Accepted(session, position, resumed, welcome, missed, after)

    def attach(self, accepted: Accepted, sink: Sink, *, welcome: bool = True) -> None:
        """Attach a connection to a session: it gets the welcome, the replay, and each later message.

        Parameters
        ----------
        accepted : Accepted
            From `accept`, in the same turn of the loop.
        sink : Sink
            The connection.
        welcome : bool
            Whether to send the welcome; False for a poll that continues a client's polling.
        """
        session = accepted.session
        if welcome:
            sink.write(accepted.welcome, accepted.position)
        for position, frame in session.after(accepted.position):
            sink.write(frame, position)
        former = session.attach(sink)
        self.sinks[sink] = session
        self.opened[sink.transport] += sink.transport != "longpoll"
        if welcome and accepted.after is not None:
            self.reconnected[accepted.after] += 1
        self.when_attached(sink)
        self._hub.presence(session, session.rooms)
        for frame in accepted.missed:
            session.deliver(frame, asked_for=True)
        if former is not None:
            former.close(4500, "another connection continues this session")
            self._forget(former)

    def detach(self, session: Session, sink: Sink, *, ended: bool = False) -> None:
        """Note that a connection has ended; idempotent.

        Parameters
        ----------
        session, sink : Session and Sink
            The session, and the connection that has ended.
        ended : bool
            Whether the client said that it is done: then its session ends, too.
        """
        self._forget(sink)
        # A session that has cut off its slow client has detached the connection already.
        if not session.detach(sink, self._clock()) and session.present:
            return
        if ended:
            # After the client's earlier messages: the broker may not have answered them yet.
            session.order.run(lambda: self._end_unless_back(session))
        else:
            self._sessions.detached(session)
            self._hub.presence(session, session.rooms)

    def _forget(self, sink: Sink) -> None:
        session = self.sinks.pop(sink, None)
        if session is None or sink.transport == "longpoll":
            return
        broken = "none" if sink.transport == "sse" else "1006"
        session.close_code = broken if sink.close_code is None else self._codes.of(sink.close_code)
        self.ended[sink.transport, session.close_code] += 1
        self._written[sink.transport] += sink.written_bytes

    def _end_unless_back(self, session: Session) -> None:
        if session.sink is None:
            self.end(session)

    def cut(self, session: Session, ending: Ended) -> None:
        """Close a session's connection because its token has ended; end the session if it was revoked."""
        sink = session.sink
        if ending.close_code == 4501:
            session.ended = ending
            self.expel(session)
        elif sink is not None:
            if sink.transport == "sse":
                session.send(error_message(ending.code, ending.text))
            sink.close(ending.close_code, ending.text)

    def expel(self, session: Session) -> None:
        """End a session, and tell its client the reason that `Session.ended` holds."""
        ended = session.ended
        if session.sink is not None and ended is not None:
            if session.sink.transport == "sse":
                # An event stream has no close code: an error message says why it ends.
                session.send(error_message(ended.code, ended.text))
            session.sink.close(ended.close_code, ended.text)
        self.end(session)

    def end(self, session: Session) -> None:
        """End a session: stop its feeds, leave its rooms, and close its connection."""
        for feed in session.feeds.values():
            feed.stop()
        session.feeds.clear()
        for room_id in session.rooms:
            # A session without a connection began its grace period when the connection was lost.
            self._hub.leave(session, room_id, grace=session.present)
        session.rooms.clear()
        self._sessions.remove(session)
        if session.sink is not None:
            session.sink.close(4500, "the session has ended")
            self._forget(session.sink)
            session.sink = None
