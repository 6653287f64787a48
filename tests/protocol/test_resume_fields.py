"""What a client's URL says about the session that it continues."""

from __future__ import annotations

import pytest

from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume, session_of


def test_the_query_names_what_is_known():
    assert Resume().query() == {}
    assert Resume("me").query() == {"clientId": "me"}
    assert Resume("me", "s1", 7, "token").query() == {"clientId": "me", "session": "s1", "seq": "7"}


def test_a_position_without_a_session_means_nothing():
    assert "seq" not in Resume("me", None, 7).query()


@pytest.mark.parametrize(
    ("message", "session"),
    [
        (Message("welcome", {"session": "s"}), "s"),
        (Message("welcome", {"session": 1}), None),
        (Message("welcome", {}), None),
        (Message("welcome", "hi"), None),
        (Message("chat", {"session": "s"}), None),
    ],
)
def test_session_of(message: Message, session: str | None) -> None:
    assert session_of(message) == session
