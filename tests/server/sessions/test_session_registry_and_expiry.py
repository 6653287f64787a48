from __future__ import annotations

from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.session_registry_and_expiry import Sessions
from tests.server.sessions.test_session_with_replay import Recorder


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
