from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.drop_or_conflate_on_overflow import Overflow
from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import Burst, EncodedFrame, RoomPosition
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions, OverflowRules
from rtlab.server.sinks.sink_interface import write_each


class Recorder:
    transport: str = "test"

    def __init__(self) -> None:
        self.got: list[tuple[int, Message]] = []
        self.congested = False
        self.closed: list[int] = []
        self.then: Callable[[], object] = lambda: None

    def when_writable(self, then: Callable[[], object]) -> None:
        self.then = then

    def flush(self) -> None: ...

    @property
    def queued_bytes(self) -> int:
        return 0

    def write(self, frame: EncodedFrame, position: int) -> None:
        self.got.append((position, frame.message))

    def write_burst(self, burst: Burst, position: int) -> None:
        write_each(self, burst, position)

    def close(self, code: int, reason: str = "") -> None:
        self.closed.append(code)

    def abort(self) -> None: ...

    def heartbeat(self) -> None: ...


def make(**limits: int) -> Session:
    return Session("s", "c", "u", SessionLimits(**limits))


def send(session: Session, count: int, payload: object = None) -> None:
    for _ in range(count):
        session.send(Message("news", payload))


def test_messages_are_numbered_from_one_and_written_when_someone_listens() -> None:
    session, sink = make(), Recorder()
    send(session, 2)
    session.attach(sink)
    send(session, 2)
    assert [position for position, _ in sink.got] == [3, 4]
    assert [position for position, _ in session.after(1)] == [2, 3, 4]


def test_confirmed_messages_are_forgotten() -> None:
    session = make()
    send(session, 5)
    session.confirm(3)
    assert session.floor == 3
    assert not session.can_resume(2)
    assert session.can_resume(3)
    assert [position for position, _ in session.after(3)] == [4, 5]
    session.confirm(9)
    session.confirm(1)
    assert session.floor == 3


def test_sessions_that_hold_nothing_share_one_empty_backlog() -> None:
    idle, used = make(), make()
    assert idle._backlog is used._backlog
    send(used, 2)
    assert [position for position, _ in used.after(0)] == [1, 2]
    assert list(idle.after(0)) == []
    used.confirm(2)
    assert idle._backlog is used._backlog
    send(used, 1)
    assert ([position for position, _ in used.after(2)], used.floor, idle.position) == ([3], 2, 0)


@given(
    messages=st.integers(1, 10),
    sizes=st.lists(st.integers(0, 300) | st.just(700), max_size=40),
)
def test_the_backlog_is_bounded_by_count_and_bytes_and_keeps_the_newest(
    messages: int, sizes: list[int]
) -> None:
    session = make(backlog_messages=messages, backlog_bytes=500)
    for size in sizes:
        session.send(Message("news", "x" * size))
    kept = [frame for _, frame in session.after(0)]
    assert len(kept) <= messages
    assert session.backlog_bytes == sum(frame.size_bytes for frame in kept)
    assert session.backlog_bytes <= 500 or len(kept) == 1
    assert session.position == len(sizes)
    if sizes:
        assert kept[-1].message.payload == "x" * sizes[-1]


def test_positions_say_where_rooms_stood_at_each_position() -> None:
    session = make(backlog_messages=3)
    for offset in range(1, 6):
        session.deliver(EncodedFrame(Message("chat"), (RoomPosition("r", "e", offset),)))
    session.deliver(EncodedFrame(Message("ack"), (RoomPosition("r", "", None),)))
    assert session.floor == 3
    assert session.room_positions(3) == {"r": RoomPosition("r", "e", 3)}
    assert session.room_positions(5) == {"r": RoomPosition("r", "e", 5)}
    assert session.room_positions(6) == {}


def test_only_the_connection_that_carries_the_session_can_detach_it() -> None:
    session, old, new = make(), Recorder(), Recorder()
    assert session.attach(old) is None
    assert session.attach(new) is old
    assert not session.detach(old, 1.0)
    assert session.present
    assert session.detach(new, 2.0)
    assert not session.present


def congested(policy: str, *, messages: int = 3, now: list[float] | None = None) -> tuple[Session, Recorder]:
    """A session whose connection takes nothing, in a room of one policy."""
    clock = now if now is not None else [0.0]
    options = OverflowOptions(messages=messages, size_bytes=10_000, default=Overflow(policy))
    session, sink = (
        Session("s", "c", "u", SessionLimits(), OverflowRules(options, lambda: clock[0])),
        Recorder(),
    )
    session.attach(sink)
    sink.congested = True
    return session, sink


def publish(session: Session, first: int, last: int) -> None:
    for offset in range(first, last + 1):
        message = Message("news", offset, room_id="r", offset=offset, epoch="e")
        session.deliver(EncodedFrame(message, (RoomPosition("r", "e", offset),)))


def drain(sink: Recorder) -> list[object]:
    """Let the connection take all; return what came, an announcement as (from, to)."""
    sink.congested = False
    sink.then()
    return [
        (m.payload["from"], m.payload["to"]) if m.type == "skipped" else m.payload or m.type
        for _, m in sink.got
    ]


def test_what_is_dropped_gets_no_number_and_is_announced_in_its_place() -> None:
    session, sink = congested("drop_oldest")
    publish(session, 1, 5)
    session.send(Message("pong"))
    assert (session.position, session.held[0]) == (0, 4)
    assert drain(sink) == [(1, 2), 3, 4, 5, "pong"]
    assert [position for position, _ in sink.got] == [1, 2, 3, 4, 5]
    assert session.held == (0, 0)
    # A resume, and a cursor, go on behind what was skipped.
    assert session.room_positions(1) == {"r": RoomPosition("r", "e", 2)}
    publish(session, 6, 6)
    assert sink.got[-1][0] == 6


def test_what_waits_is_kept_for_a_client_that_comes_back() -> None:
    session, sink = congested("drop_newest")
    publish(session, 1, 5)
    assert session.detach(sink, 1.0)
    kept = [frame.message for _, frame in session.after(0)]
    assert [message.payload for message in kept[:3]] == [1, 2, 3]
    assert (kept[3].type, kept[3].payload["from"], kept[3].payload["to"]) == ("skipped", 4, 5)


def test_a_client_that_reads_nothing_is_cut_off_with_4000_and_can_resume() -> None:
    now = [0.0]
    session, sink = congested("disconnect", now=now)
    publish(session, 1, 5)
    assert sink.closed == []
    now[0] = 2.1
    publish(session, 6, 6)
    assert sink.closed == [4000]
    assert not session.present
    assert session.can_resume(0)
    assert [frame.message.payload for _, frame in session.after(0)] == [1, 2, 3, 4, 5, 6]


def test_a_history_that_was_asked_for_is_not_dropped() -> None:
    session, sink = congested("drop_newest", messages=2)
    for offset in range(1, 5):
        message = Message("news", offset, room_id="r", offset=offset, epoch="e")
        session.deliver(EncodedFrame(message), asked_for=True)
    assert drain(sink) == [1, 2, 3, 4]


async def test_who_asks_for_more_than_it_reads_is_heard_later() -> None:
    session, sink = congested("drop_oldest", messages=4)
    publish(session, 1, 9)
    assert not session.overloaded  # what a room sends keeps no client from being heard
    send(session, 3, "answer")
    assert session.overloaded
    later = session.when_changed(lambda: "heard")
    await asyncio.sleep(0)
    assert not later.done()
    drain(sink)
    assert not session.overloaded
    assert await later == "heard"


def test_a_newer_list_of_users_replaces_one_that_waits() -> None:
    session, sink = congested("disconnect")
    for n in range(50):
        session.deliver(EncodedFrame(Message("users_update", [n], room_id="r")))
    assert drain(sink) == [[49]]
