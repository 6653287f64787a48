"""One client's session: numbers the messages to it, keeps them until acknowledged, and replays them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from rtlab.policies.drop_or_conflate_on_overflow import Overflow
from rtlab.protocol.message_format import Message
from rtlab.server.auth.principal import Principal
from rtlab.server.frames_encoded_once import Burst, EncodedFrame, RoomPosition, sendable
from rtlab.server.maybe_awaitable_values import InOrder, Later, forward
from rtlab.server.refusal_and_end_reasons import Ended
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.sessions.fixed_schedule_feed import Feed
from rtlab.server.sessions.outbox_deduplication_and_fencing import Incarnation
from rtlab.server.sessions.post_deduplication import PostDeduplication
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions, OverflowRules, SlowConsumerQueue
from rtlab.server.sinks.sink_interface import Sink

__all__ = ["SILENT_SECONDS", "Session"]

T = TypeVar("T")

#: The backlog of every session that has nothing to keep: an empty deque takes 0.7 kB. Never modified.
_NOTHING: Final[deque[EncodedFrame]] = deque(maxlen=0)

#: Default for a session without a server's fan-out; no message ever waits in it.
_NOTHING_OUTGOING: Final = FanOut()

#: Seconds without a connection after which feeds no longer send to a session.
SILENT_SECONDS: Final = 2.0


class Session:
    """The stream of messages to one client, independent of the connection that carries it.

    Position 0 is before the first message; each message has the next position.
    Positions are not transmitted: client and server both count messages.

    Parameters
    ----------
    session_id, client_id, user : str
        The session's secret id, the client's own name, and the user whom presence shows.
    limits : SessionLimits
        Limits of the backlog.
    rules : OverflowRules, optional
        Overflow policies for frames that a congested connection does not take.
    fan_out : FanOut, optional
        May hold messages of the session's rooms that are published and not delivered yet.

    Attributes
    ----------
    check_outgoing : callable or None
        Raises `MessageError` for a message that must not be sent; None sends all unchecked.
    overflow : Overflow or None
        The policy that the newest connection asked for; None for the server's.
    """

    __slots__ = (
        "_actions", "_backlog", "_bytes", "_fan_out", "_held", "_limits", "_positions", "_rules", "address",
        "check_outgoing", "client_id", "close_code", "detached_at", "ended", "feeds", "may_publish", "order",
        "outboxes", "over", "overflow", "position", "posts", "principal", "rooms", "session_id", "sink",
        "strikes", "unreadable", "used", "user",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        client_id: str,
        user: str,
        limits: SessionLimits,
        rules: OverflowRules | None = None,
        fan_out: FanOut | None = None,
    ) -> None:
        self.session_id = session_id
        self.client_id = client_id
        self.check_outgoing: Callable[[Message], None] | None = None
        self.user = user
        self.position = 0
        self.sink: Sink | None = None
        self.detached_at = 0.0
        # Close code of the connection that ended last, as a label of `Connections.ended`.
        self.close_code = "none"
        # Messages of the client that could not be decoded.
        self.unreadable = 0
        # Strikes for refused messages, and why the server has ended the session, if it has.
        self.strikes = 0.0
        self.ended: Ended | None = None
        self.over = False  # removed from `Sessions`: it must not enter a room any more
        self.used = False  # whether the client has resumed it or sent a message
        # The authenticated user; None in the open setting.
        self.principal: Principal | None = None
        # Rooms in which it may publish, each with the principal for which this was checked: with another
        # principal it is checked again.
        self.may_publish: dict[str, Principal] = {}
        self.address: str | None = None  # where its newest connection comes from
        # Keeps the client's messages in order while one of them waits for a broker's answer.
        self.order = InOrder()
        self.posts = PostDeduplication()
        # The outboxes that the client has opened in this session, by name.
        self.outboxes: dict[str, Incarnation] = {}
        self.rooms: dict[str, None] = {}  # those that the session is in
        self.feeds: dict[str, Feed] = {}
        self.overflow: Overflow | None = None
        self._limits = limits
        self._fan_out = fan_out or _NOTHING_OUTGOING
        self._rules = rules or OverflowRules(OverflowOptions(), time.monotonic)
        # Frames without a position, only while the connection is congested; actions of `when_changed`.
        self._held: SlowConsumerQueue | None = None
        self._actions: list[Callable[[], object]] | None = None
        # A list until a frame is dropped: an empty deque takes 0.7 KiB, and an idle session has one frame.
        self._backlog: deque[EncodedFrame] | list[EncodedFrame] = _NOTHING
        self._bytes = 0
        # How far the client had read each room just before the first frame of the backlog.
        self._positions: dict[str, RoomPosition] = {}

    def __repr__(self) -> str:
        return f"Session(client_id={self.client_id!r}, position={self.position})"

    @property
    def present(self) -> bool:
        """Whether a connection carries the session now."""
        return self.sink is not None

    @property
    def backlog_bytes(self) -> int:
        """Bytes kept for a replay; frames that sessions share count in each of them."""
        return self._bytes

    @property
    def floor(self) -> int:
        """The earliest position that a client can resume from."""
        return self.position - len(self._backlog)

    def send(self, message: Message) -> None:
        """Send a message to this client alone."""
        if self.check_outgoing is not None:
            message = sendable(message, self.check_outgoing)
        self.deliver(EncodedFrame(message))

    def deliver(self, frame: EncodedFrame, *, asked_for: bool = False) -> None:
        """Number a frame, keep it, and write it if there is a connection that takes it.

        Messages that were published earlier in the session's rooms are delivered first.

        Parameters
        ----------
        frame : EncodedFrame
            The frame to deliver.
        asked_for : bool
            Whether the client has asked for it, as for a room's history: then no overflow
            policy may drop it.
        """
        if self._fan_out.outgoing:
            self._fan_out.catch_up(self)
        self._take(frame, asked_for)

    def deliver_burst(self, burst: Burst, had: int | None = None) -> None:
        """Deliver consecutive frames of a room.

        Parameters
        ----------
        burst : Burst
            The frames.
        had : int, optional
            How many of them were delivered to this session before; none by default.
        """
        sink, frames = self.sink, burst.frames
        if had or (sink is not None and (self._held is not None or sink.congested)):
            for frame in frames[had:]:
                self._take(frame)
            return
        backlog, limits = self._backlog, self._limits
        if backlog is _NOTHING:
            backlog = self._backlog = deque[EncodedFrame]()
        backlog.extend(frames)
        self.position = position = self.position + len(frames)
        if sink is not None:
            sink.write_burst(burst, position)
        size = self._bytes = self._bytes + burst.size_bytes
        if size > limits.backlog_bytes or len(backlog) > limits.backlog_messages:
            self._trim()

    def _take(self, frame: EncodedFrame, asked_for: bool = False) -> None:
        sink = self.sink
        if sink is not None and (self._held is not None or sink.congested):
            self._hold(sink, frame, asked_for)
            return
        self.position += 1
        backlog, limits = self._backlog, self._limits
        if backlog is _NOTHING:
            backlog = self._backlog = list[EncodedFrame]()
        backlog.append(frame)
        if sink is not None:
            sink.write(frame, self.position)
        self._bytes += frame.size_bytes or frame.measure()
        if self._bytes > limits.backlog_bytes or len(backlog) > limits.backlog_messages:
            self._trim()

    # A congested connection

    def _hold(self, sink: Sink, frame: EncodedFrame, asked_for: bool) -> None:
        held = self._held
        if held is None:
            held = self._held = SlowConsumerQueue(self._rules, self.overflow, self.check_outgoing)
            sink.when_writable(self._pump)
        if not held.put(frame, asked_for=asked_for):
            self.release()
            self.sink = None
            self.detached_at = self._rules.clock()
            sink.close(4000, "the client reads too slowly: come back and resume")
            self._let_in()

    def _pump(self) -> None:
        """Write held frames until none is left or the connection is congested again."""
        held, sink = self._held, self.sink
        if held is None or sink is None:
            return
        while not sink.congested:
            self._held = None  # so that `_take` writes the frame
            frame = held.take()
            if frame is None:
                break
            self._take(frame)
            self._held = held
        sink.flush()
        if self._held is not None:
            sink.when_writable(self._pump)
        self._let_in()

    def release(self) -> None:
        """Number all held frames and keep them for the replay, without writing them."""
        held, self._held = self._held, None
        if held is not None:
            sink, self.sink = self.sink, None
            while (frame := held.take()) is not None:
                self._take(frame)
            self.sink = sink

    @property
    def held(self) -> tuple[int, int]:
        """How many messages, and bytes, wait until the connection takes more."""
        return (len(self._held), self._held.size_bytes) if self._held is not None else (0, 0)

    @property
    def overloaded(self) -> bool:
        """Whether the client must read answers before the server handles its next messages."""
        return self._held is not None and self._held.overloaded

    @property
    def starved(self) -> bool:
        """Whether feeds must pause: the client does not read, or is away too long or with a full backlog."""
        return self.overloaded or (
            self.sink is None
            and (
                len(self._backlog) >= self._limits.backlog_messages
                or self._bytes >= self._limits.backlog_bytes
                or self._rules.clock() - self.detached_at > SILENT_SECONDS
            )
        )

    def blocks(self, room_id: str) -> bool:
        """Whether a publisher to this room has to wait for this client (policy ``block``)."""
        return self._held is not None and self._held.blocks(room_id)

    def when_changed(self, action: Callable[[], Later[T]]) -> asyncio.Future[T]:
        """Do an action once the connection has taken frames or has ended, or another one is attached.

        Parameters
        ----------
        action : callable
            Checks whether it can proceed, and calls `when_changed` again if not.

        Returns
        -------
        Future of T
        """
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._actions is None:
            self._actions = []
        self._actions.append(lambda: forward(action, result))
        return result

    def _let_in(self) -> None:
        actions, self._actions = self._actions, None
        for action in actions or ():
            action()

    def _trim(self) -> None:
        limits, backlog = self._limits, self._backlog
        if isinstance(backlog, list):
            backlog = self._backlog = deque(backlog)
        while len(backlog) > 1 and (
            len(backlog) > limits.backlog_messages or self._bytes > limits.backlog_bytes
        ):
            self._drop()

    def _drop(self) -> None:
        backlog = self._backlog
        if isinstance(backlog, list):
            backlog = self._backlog = deque(backlog)
        frame = backlog.popleft()
        self._bytes -= frame.size_bytes
        self._apply(self._positions, frame.positions)

    @staticmethod
    def _apply(positions: dict[str, RoomPosition], changes: tuple[RoomPosition, ...]) -> None:
        for change in changes:
            if change.offset is None:
                positions.pop(change.room_id, None)
            else:
                positions[change.room_id] = change

    def fits(self, frames: list[EncodedFrame]) -> bool:
        """Whether an empty backlog could hold these frames."""
        size = sum(frame.measure() for frame in frames)
        return len(frames) <= self._limits.backlog_messages and size <= self._limits.backlog_bytes

    def start_at(self, start: RoomPosition) -> None:
        """Record how far a room was read, for a session that has no messages yet."""
        self._positions[start.room_id] = start

    def room_positions(self, position: int) -> dict[str, RoomPosition]:
        """Return how far each room was read at a position that can be resumed."""
        positions = dict(self._positions)
        for frame in islice(self._backlog, position - self.floor):
            self._apply(positions, frame.positions)
        return positions

    def can_resume(self, position: int) -> bool:
        """Whether the backlog still holds every message after a position."""
        return self.floor <= position <= self.position

    def confirm(self, position: int) -> None:
        """Drop acknowledged messages from the backlog; a position out of range acknowledges nothing.

        Parameters
        ----------
        position : int
            Position of the last message that the client has handled.
        """
        if self.can_resume(position):
            for _ in range(position - self.floor):
                self._drop()
            if not self._backlog:
                self._backlog = _NOTHING

    def after(self, position: int) -> Iterator[tuple[int, EncodedFrame]]:
        """Iterate over (position, frame) of the kept messages after a position."""
        start = max(position, self.floor)
        return enumerate(islice(self._backlog, start - self.floor, None), start + 1)

    def attach(self, sink: Sink) -> Sink | None:
        """Attach a connection; the caller has written the welcome and the replay.

        Parameters
        ----------
        sink : Sink
            Gets every frame from now on.

        Returns
        -------
        Sink or None
            The connection that it replaces, which the caller must close.
        """
        former, self.sink = self.sink, sink
        self._let_in()
        return former

    def detach(self, sink: Sink, now: float) -> bool:
        """Note that a connection has ended; False if another one carries the session."""
        if self.sink is not sink:
            return False
        self.release()
        self.sink = None
        self.detached_at = now
        self._let_in()
        return True
