"""What one client was sent: numbered, kept while unconfirmed, replayed after a lost connection."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from rtlab.policies.overflow import Overflow
from rtlab.protocol.messages import Message
from rtlab.server.auth.principal import Principal
from rtlab.server.encoded_frames import Burst, Frame, RoomPosition, checked
from rtlab.server.message_deduplication import Incarnation
from rtlab.server.numbered_posts import NumberedPosts
from rtlab.server.ordered_answers import InOrder, Later, forward
from rtlab.server.refusal import Ended
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.scheduled_feed import Feed
from rtlab.server.session_limits import SessionLimits
from rtlab.server.sinks.base import Sink
from rtlab.server.slow_consumer_queue import OverflowOptions, OverflowRules, SlowConsumerQueue

__all__ = ["SILENT_SECONDS", "Session"]

T = TypeVar("T")

#: Every backlog that holds nothing: an empty one of its own is 0.7 kB. Nothing is ever put in.
_NOTHING: Final[deque[Frame]] = deque(maxlen=0)

#: Of a session that stands alone.
_NOTHING_OUTGOING: Final = FanOut()

#: A session that no connection has carried for this long gets no more from feeds.
SILENT_SECONDS: Final = 2.0


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
    rules : OverflowRules, optional
        What becomes of frames that its connection does not take.
    fan_out : FanOut, optional
        What may still have messages of its rooms.

    Attributes
    ----------
    check_outgoing : callable or None
        Raises `MessageError` for what this client may not be sent; None costs nothing.
    overflow : Overflow or None
        What its newest connection chose.
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
        # How its newest connection ended, as `Connections.ended` says it.
        self.close_code = "none"
        # Messages of the client that could not be decoded.
        self.unreadable = 0
        # What it did that it should not; and why that ended it.
        self.strikes = 0.0
        self.ended: Ended | None = None
        self.over = False  # removed: it may not enter a room any more
        self.used = False  # whether its client came back for it, or said something
        # Whose it is, as credentials proved; None where nobody asks for any.
        self.principal: Principal | None = None
        # Of the rooms that it is in, those where its roles let it publish, by the proof that said so:
        # another proof is asked for anew.
        self.may_publish: dict[str, Principal] = {}
        self.address: str | None = None  # where its newest connection comes from
        # The client's messages, while a broker has not answered for one of them.
        self.order = InOrder()
        self.posts = NumberedPosts()
        # Those of the client's outboxes that it opened in this session, by their names.
        self.outboxes: dict[str, Incarnation] = {}
        self.rooms: dict[str, None] = {}  # those that it is in
        self.feeds: dict[str, Feed] = {}
        self.overflow: Overflow | None = None
        self._limits = limits
        self._fan_out = fan_out or _NOTHING_OUTGOING
        self._rules = rules or OverflowRules(OverflowOptions(), time.monotonic)
        # Only while a connection takes no more: frames without a number, and who waits for room.
        self._held: SlowConsumerQueue | None = None
        self._actions: list[Callable[[], object]] | None = None
        # A list until the first is dropped: an empty deque is 0.7 KiB, and an idle session has one message.
        self._backlog: deque[Frame] | list[Frame] = _NOTHING
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
        self.deliver(Frame(checked(message, self.check_outgoing)))

    def deliver(self, frame: Frame, *, asked_for: bool = False) -> None:
        """Number a frame, keep it, and write it if there is a connection that takes it.

        What was published before, in rooms that it is in, goes first.

        Parameters
        ----------
        frame : Frame
            What to deliver.
        asked_for : bool
            Nothing may drop it, although it was published in a room: the client asked
            for the room's history.
        """
        if self._fan_out.outgoing:
            self._fan_out.catch_up(self)
        self._take(frame, asked_for)

    def deliver_burst(self, burst: Burst, had: int | None = None) -> None:
        """As `deliver`, of a room's frames that follow each other.

        Parameters
        ----------
        burst : Burst
            The frames.
        had : int, optional
            So many of them it was given before.
        """
        sink, frames = self.sink, burst.frames
        if had or (sink is not None and (self._held is not None or sink.congested)):
            for frame in frames[had:]:
                self._take(frame)
            return
        backlog, limits = self._backlog, self._limits
        if backlog is _NOTHING:
            backlog = self._backlog = deque[Frame]()
        backlog.extend(frames)
        self.position = position = self.position + len(frames)
        if sink is not None:
            sink.write_burst(burst, position)
        size = self._bytes = self._bytes + burst.size_bytes
        if size > limits.backlog_bytes or len(backlog) > limits.backlog_messages:
            self._trim()

    def _take(self, frame: Frame, asked_for: bool = False) -> None:
        sink = self.sink
        if sink is not None and (self._held is not None or sink.congested):
            self._hold(sink, frame, asked_for)
            return
        self.position += 1
        backlog, limits = self._backlog, self._limits
        if backlog is _NOTHING:
            backlog = self._backlog = list[Frame]()
        backlog.append(frame)
        if sink is not None:
            sink.write(frame, self.position)
        self._bytes += frame.size_bytes or frame.measure()
        if self._bytes > limits.backlog_bytes or len(backlog) > limits.backlog_messages:
            self._trim()

    # A connection that takes no more

    def _hold(self, sink: Sink, frame: Frame, asked_for: bool) -> None:
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
        """Write what waits, as far as the connection takes it."""
        held, sink = self._held, self.sink
        if held is None or sink is None:
            return
        while not sink.congested:
            self._held = None  # what `_take` gets now is written
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
        """Number all that waits: the client comes back for it."""
        held, self._held = self._held, None
        if held is not None:
            sink, self.sink = self.sink, None
            while (frame := held.take()) is not None:
                self._take(frame)
            self.sink = sink

    @property
    def held(self) -> tuple[int, int]:
        """Messages and bytes that wait until the connection takes more."""
        return (len(self._held), self._held.size_bytes) if self._held is not None else (0, 0)

    @property
    def overloaded(self) -> bool:
        """Whether the client has to read its answers before it is heard again."""
        return self._held is not None and self._held.overloaded

    @property
    def starved(self) -> bool:
        """Whether more would be lost on it: nobody carries the session, and it holds what it can."""
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
        """Do an action once the connection has taken something, has ended, or another has come.

        Parameters
        ----------
        action : callable
            Looks whether it can go on, and asks again if not.

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
            if not self._backlog:
                self._backlog = _NOTHING

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
