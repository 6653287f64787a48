from __future__ import annotations

from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from rtlab.protocol.messages import Message
from rtlab.server.frames import Frame, RoomPosition
from rtlab.server.sessions import Session, SessionLimits, Sessions


class Recorder:
    transport: ClassVar[str] = "test"

    def __init__(self) -> None:
        self.got: list[tuple[int, Message]] = []

    @property
    def queued_bytes(self) -> int:
        return 0

    def write(self, frame: Frame, position: int) -> None:
        self.got.append((position, frame.message))

    def close(self, code: int, reason: str = "") -> None: ...

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
        session.deliver(Frame(Message("chat"), (RoomPosition("r", "e", offset),)))
    session.deliver(Frame(Message("ack"), (RoomPosition("r", "", None),)))
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


def test_sessions_expire_only_without_a_connection() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0], SessionLimits(ttl=30))
    quiet, busy = sessions.create("a", "a"), sessions.create("b", "b")
    busy.attach(Recorder())
    now[0] = 29
    assert sessions.expired() == []
    now[0] = 31
    assert sessions.expired() == [quiet]
    sessions.remove(quiet)
    sessions.remove(quiet)
    assert sessions.get(quiet.session_id) is None
    assert sessions.get(busy.session_id) is busy
    assert sessions.get(None) is None
