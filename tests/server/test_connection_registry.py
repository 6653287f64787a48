"""Whose session it is, and what its end tells the rooms."""

from __future__ import annotations

import pytest

from rtlab.server.connect_request_parser import ConnectRequest
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
