"""Whose session it is, and what its end tells the rooms."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from rtlab.protocol.message_format import Message
from rtlab.server.auth.principal import Principal
from rtlab.server.connect_request_parser import ConnectRequest
from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.last_event_id_cursor import Cursor
from rtlab.server.node import Node
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.rooms.room_limits import HubLimits
from rtlab.server.server_options import Options
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sinks.write_to_waiting_poll import PollSink


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Node, Clock]:
    clock = Clock()
    options = Options(token="", hub=HubLimits(leave_grace=2), sessions=SessionLimits(ttl=30))
    return Node(options, clock), clock


async def test_a_session_stays_with_its_user() -> None:
    node, _ = make()
    session = node.connections.accept(ConnectRequest(client_id="c", user="ada")).session
    name = session.session_id
    ways = ({"session": name}, {"cursor": Cursor(name, 0)})
    for way in ways:
        for user in (None, "ada"):
            node.connections.check_user(ConnectRequest(user=user, **way))
        with pytest.raises(Refused, match="'ada'") as caught:
            node.connections.check_user(ConnectRequest(user="eve", **way))
        assert caught.value.code == "wrong_user"


async def test_whose_leave_was_told_does_not_come_back_when_the_session_expires() -> None:
    node, clock = make()
    connections, seen = node.connections, []
    watcher = connections.accept(ConnectRequest(user="ada", rooms=("r",)))
    connections.attach(watcher, PollSink())
    accepted = connections.accept(ConnectRequest(user="bob", rooms=("r",)))
    sink = PollSink()
    connections.attach(accepted, sink)
    connections.detach(accepted.session, sink)  # a crash: nobody said that it is over
    for clock.now in (1.0, 2.5, 29.0, 30.5, 31.0, 33.0):
        for session in node.sessions.expired():
            connections.end(session)
        node.hub.sweep()
        seen.append(node.hub["r"].presence.announced)
    assert seen == [["ada", "bob"], *[["ada"]] * 5]


class Slow(PollSink):
    """A connection that takes nothing while `congested`, and notes the types of what it took."""

    congested = False  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.took: list[str] = []
        self.then: Callable[[], object] = lambda: None

    def write(self, frame: EncodedFrame, position: int) -> None:
        self.took.append(frame.message.type)

    def when_writable(self, then: Callable[[], object]) -> None:
        self.then = then


ADA = Principal("ada", (), "f", 1e12)
#: Who knows the id of ada's session `c`, and may not resume it.
STRANGERS = [
    ConnectRequest(client_id="other"),
    ConnectRequest(user="eve"),
    ConnectRequest(principal=msgspec.structs.replace(ADA, user="eve")),
]


@pytest.mark.parametrize("stranger", STRANGERS, ids=["client", "user", "principal"])
async def test_whoever_knows_a_session_but_may_not_resume_it_needs_a_place(stranger: ConnectRequest) -> None:
    node = Node(Options(token="", max_connections=1))
    connections = node.connections
    accepted = connections.accept(ConnectRequest(client_id="c", user="ada", principal=ADA))
    connections.attach(accepted, PollSink())
    name = accepted.session.session_id
    for way in ({"session": name}, {"cursor": Cursor(name, 0)}):
        own = ConnectRequest(client_id="c", principal=ADA)
        connections.make_place(msgspec.structs.replace(own, **way))
        with pytest.raises(Refused) as caught:
            connections.make_place(msgspec.structs.replace(stranger, **way))
        assert caught.value.code == "full"


@pytest.mark.parametrize("stranger", STRANGERS, ids=["client", "user", "principal"])
async def test_who_may_not_resume_a_session_takes_nothing_from_its_connection(
    stranger: ConnectRequest,
) -> None:
    node, _ = make()
    accepted = node.connections.accept(ConnectRequest(client_id="c", user="ada", principal=ADA))
    session, sink = accepted.session, Slow()
    node.connections.attach(accepted, sink)
    sink.congested = True
    session.send(Message("news"))
    other = node.connections.accept(msgspec.structs.replace(stranger, session=session.session_id))
    assert other.session is not session
    sink.congested = False
    sink.then()
    assert sink.took == ["welcome", "news"]
