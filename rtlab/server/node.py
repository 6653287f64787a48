"""One server: its rooms, its sessions, its open connections, and the upkeep of all three."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from rtlab.errors import MessageError
from rtlab.protocol.codecs import Codec
from rtlab.protocol.messages import MAX_DEPTH, Message
from rtlab.server.frames import Frame, Mark, error_message
from rtlab.server.opening import Opening
from rtlab.server.options import Options
from rtlab.server.protocol import MAX_ROOMS, Protocol, Refused, Result
from rtlab.server.rooms.hub import Hub
from rtlab.server.sessions import Session, Sessions
from rtlab.server.sinks.delivery import Sink

__all__ = ["Node", "Opened", "boot_id"]

MAX_STRIKES: Final = 5
TICK: Final = 0.25
SESSIONS_PER_CONNECTION: Final = 4
PRESENCE_DELAY: Final = 0.02
TRANSPORTS: Final = ("websocket", "sse", "longpoll", "webrtc")


_log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A session that is ready for a connection.

    Parameters
    ----------
    session : Session
        Resumed or new.
    position : int
        Where the client continues.
    resumed : bool
        Whether the session goes on where the client was.
    welcome : Frame
        The first message; it has no position.
    missed : list of Frame
        Of rooms that were resumed in a new session; not numbered yet.
    """

    session: Session
    position: int
    resumed: bool
    welcome: Frame
    missed: list[Frame]


def boot_id() -> str | None:
    """Return a word that two processes share when their monotonic clocks are one.

    Returns
    -------
    str or None
        None where the system does not tell.
    """
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return None
    return hashlib.sha256(text.strip()).hexdigest()[:16]


class Node:
    """Everything that the transports of one server share.

    Parameters
    ----------
    options : Options
        How it behaves.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self.clock = clock
        self.hub = Hub(clock, options.hub, presence_changed=self._presence_changed)
        self.sessions = Sessions(clock, options.sessions)
        self.protocol = Protocol(self.hub, clock)
        self.sinks: dict[Sink, Session] = {}
        self.stopping = False
        self.slow_clients = 0
        self.received = 0
        self._boot_id = boot_id()
        self._started = clock()
        self._process = psutil.Process()
        self._presence_timer: asyncio.TimerHandle | None = None
        self._tick: asyncio.Task[None] | None = None
        self._on_tick: list[Callable[[], object]] = []

    # Connections

    @property
    def full(self) -> bool:
        """Whether another connection is one too many; sessions that wait for theirs count less."""
        most = self.options.max_connections
        return len(self.sinks) >= most or len(self.sessions) >= SESSIONS_PER_CONNECTION * most

    def open(self, opening: Opening) -> Opened:
        """Resume what a client asks for, as far as it is still there, or begin anew.

        Parameters
        ----------
        opening : Opening
            What the client said.

        Returns
        -------
        Opened
            To be given to `attach` in the same turn of the loop.
        """
        client_id, cursor = opening.client_id, opening.cursor
        asked, position = opening.session, opening.seq
        if cursor is not None and asked in (None, cursor.session):
            asked, position = cursor.session, cursor.position
        session = self.sessions.get(asked)
        if session is not None and client_id in (None, session.client_id):
            if session.can_resume(position):
                session.confirm(position)
                return self._opened(session, position, [], {}, resumed=True)
            # What it needs is gone, and a client has one session at a time.
            self.end(session)
        if client_id is None:
            client_id = secrets.token_urlsafe(9)
        session = self.sessions.create(client_id, opening.user or client_id)
        missed: list[Frame] = []
        rooms: dict[str, Result] = {}
        for mark in () if cursor is None else cursor.marks:
            self._enter(session, mark.room_id, mark, rooms, missed)
        for room_id in opening.rooms:
            if room_id not in rooms:
                self._enter(session, room_id, None, rooms, missed)
        return self._opened(session, 0, missed, rooms, resumed=False)

    def _enter(
        self,
        session: Session,
        room_id: str,
        mark: Mark | None,
        rooms: dict[str, Result],
        missed: list[Frame],
    ) -> None:
        try:
            self.protocol.check_room(session, room_id)
        except Refused as error:
            rooms[room_id] = {"recovered": False, "error": {"code": error.code, "message": str(error)}}
            return
        epoch, offset = (None, None) if mark is None else (mark.epoch, mark.offset)
        joined = self.hub.join(session, room_id, epoch, offset)
        session.rooms[room_id] = None
        # What a session cannot hold cannot be promised to a client that polls.
        recovered = joined.recovered and session.fits(missed + joined.missed)
        start = joined.offset
        if recovered:
            start -= len(joined.missed)
            missed += joined.missed
        session.start_at(Mark(room_id, joined.epoch, start))
        rooms[room_id] = {"recovered": recovered, "epoch": joined.epoch, "offset": joined.offset}

    def _opened(
        self, session: Session, position: int, missed: list[Frame], rooms: dict[str, Result], *, resumed: bool
    ) -> Opened:
        payload: dict[str, Any] = {
            "clientId": session.client_id,
            "session": session.session_id,
            "bootId": self._boot_id,
            "node": self.options.node,
            "resumed": resumed,
            "seq": position,
            "limits": {
                "maxMessageBytes": self.options.max_message_bytes,
                "maxDepth": MAX_DEPTH,
                "maxRooms": MAX_ROOMS,
            },
            "heartbeat": self.options.heartbeat,
        }
        if rooms:
            payload["rooms"] = rooms
        return Opened(session, position, resumed, Frame(Message("welcome", payload)), missed)

    def attach(self, opened: Opened, sink: Sink, *, welcome: bool = True) -> None:
        """Let a connection carry a session: welcome, replay, and from then on everything.

        Parameters
        ----------
        opened : Opened
            From `open`, in the same turn of the loop.
        sink : Sink
            The connection.
        welcome : bool
            False for a poll that only goes on.
        """
        session = opened.session
        if welcome:
            sink.write(opened.welcome, opened.position)
        for position, frame in session.after(opened.position):
            sink.write(frame, position)
        former = session.attach(sink)
        self.sinks[sink] = session
        self.hub.presence(session, session.rooms)
        for frame in opened.missed:
            session.deliver(frame)
        if former is not None:
            self.sinks.pop(former, None)
            former.close(4500, "another connection continues this session")

    def detach(self, session: Session, sink: Sink, *, ended: bool = False) -> None:
        """Note that a connection has ended; idempotent.

        Parameters
        ----------
        session, sink : Session and Sink
            What was attached.
        ended : bool
            The client said that it is done: nothing is kept for it.
        """
        self.sinks.pop(sink, None)
        if not session.detach(sink, self.clock()):
            return
        if ended:
            self.end(session)
        else:
            self.hub.presence(session, session.rooms)

    def count_slow_client(self) -> None:
        """Note that a sink cut off a client that did not read."""
        self.slow_clients += 1

    def end(self, session: Session) -> None:
        """End a session and all that it owns."""
        for feed in session.feeds.values():
            feed.stop()
        session.feeds.clear()
        for room_id in session.rooms:
            self.hub.leave(session, room_id, grace=True)
        session.rooms.clear()
        self.sessions.remove(session)
        if session.sink is not None:
            self.sinks.pop(session.sink, None)
            session.sink.close(4500, "the session has ended")
            session.sink = None

    # Messages

    def receive_data(self, session: Session, data: bytes | str, codec: Codec) -> bool:
        """Read and obey one incoming message.

        Parameters
        ----------
        session : Session
            Who sent it.
        data : bytes or str
            One message as it came.
        codec : Codec
            The connection's.

        Returns
        -------
        bool
            False when it was one unreadable message too many: close with 1008.
        """
        self.received += 1
        try:
            message = codec.decode(data, self.options.max_message_bytes)
        except MessageError as error:
            session.strikes += 1
            left = MAX_STRIKES - session.strikes
            session.send(error_message(error.code, f"{error}; {max(left, 0)} more and the connection ends"))
            return left > 0
        self.protocol.receive(session, message)
        return True

    # Upkeep

    def start(self) -> None:
        """Begin the upkeep, on the running loop."""
        self._tick = asyncio.create_task(self._run(), name="upkeep")

    def on_tick(self, action: Callable[[], object]) -> None:
        """Call something four times a second from now on."""
        self._on_tick.append(action)

    async def _run(self) -> None:
        heartbeat = self.options.heartbeat
        beat = self.clock()
        while True:
            await asyncio.sleep(min(TICK, heartbeat or TICK))
            try:
                self._keep_up()
                if heartbeat and self.clock() - beat >= heartbeat:
                    beat = self.clock()
                    for sink in list(self.sinks):
                        sink.heartbeat()
            except Exception:
                # A bug here must not stop sessions from expiring for good.
                _log.exception("the upkeep failed; it goes on")

    def _keep_up(self) -> None:
        for session in self.sessions.expired():
            self.end(session)
        self.hub.sweep()
        for action in self._on_tick:
            action()

    def _presence_changed(self) -> None:
        if self._presence_timer is None:
            loop = asyncio.get_running_loop()
            self._presence_timer = loop.call_later(PRESENCE_DELAY, self._announce)

    def _announce(self) -> None:
        self._presence_timer = None
        self.hub.announce()

    async def stop(self, deadline: float = 1.0) -> None:
        """End every connection: streams and polls first, then 1012, spread over the window.

        Parameters
        ----------
        deadline : float
            Seconds after the window until those that did not leave are cut off.
        """
        self.stopping = True
        feeds = [feed for session in self.sessions for feed in session.feeds.values()]
        for feed in feeds:
            feed.stop()
        for feed in feeds:
            await feed.wait()
        first = [s for s in self.sinks if s.transport in ("sse", "longpoll")]
        for sink in first:
            sink.close(1012, "the server restarts")
        await asyncio.sleep(0)
        rest = [s for s in self.sinks if s not in set(first)]
        begin = self.clock()
        for n, sink in enumerate(rest):
            delay = begin + self.options.stop_window * n / len(rest) - self.clock()
            if delay > 0.001:
                await asyncio.sleep(delay)
            sink.close(1012, "the server restarts")
        until = self.clock() + deadline
        while self.sinks and self.clock() < until:
            await asyncio.sleep(0.01)
        for sink in list(self.sinks):
            sink.abort()
        if self._presence_timer is not None:
            self._presence_timer.cancel()
        if self._tick is not None:
            self._tick.cancel()
            with suppress(asyncio.CancelledError):
                await self._tick

    def stats(self) -> dict[str, Any]:
        """Return what the server holds now, for leak checks and CPU figures.

        Returns
        -------
        dict
            Counts, bytes, and ``cpu_seconds`` of the process since it started.
        """
        connections = Counter(sink.transport for sink in self.sinks)
        cpu = self._process.cpu_times()
        return {
            "node": self.options.node,
            "pid": self._process.pid,
            "uptime": self.clock() - self._started,
            "tasks": len(asyncio.all_tasks()),
            "descriptors": self._process.num_fds() if hasattr(self._process, "num_fds") else None,
            "rss_bytes": self._process.memory_info().rss,
            "cpu_seconds": cpu.user + cpu.system,
            "sessions": len(self.sessions),
            "connections": {name: connections[name] for name in TRANSPORTS},
            "rooms": len(self.hub),
            "feeds": sum(len(session.feeds) for session in self.sessions),
            "queued_bytes": sum(sink.queued_bytes for sink in self.sinks),
            "backlog_bytes": sum(session.backlog_bytes for session in self.sessions),
            "messages_received": self.received,
            "messages_published": self.hub.published,
            "slow_clients": self.slow_clients,
        }
