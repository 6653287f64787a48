"""Reauthorization: what a session may do follows its token, while the connection stays open."""

from __future__ import annotations

import msgspec
import pytest

from rtlab.server.auth.access_token_signing_and_checks import LEEWAY
from rtlab.server.auth.request_authentication import Authority
from rtlab.server.node import Node
from rtlab.server.refusal_and_end_reasons import AnswerPayload
from rtlab.server.rooms.name_and_join_rules import MAX_ROOMS
from rtlab.server.server_options import Options
from rtlab.server.sessions.session_with_replay import Session
from tests.server.ingress.bench import Bench


class Guarded(Bench):
    """A bench whose node asks who is there; `now` is the time of its tokens."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.node = Node(
            Options(token="t", security="right", token_ttl=10.0, revalidate=5.0),
            lambda: 0.0,
            wall_clock=lambda: self.now,
        )
        assert self.node.authority is not None
        self.authority: Authority = self.node.authority

    def token(self, user: str, *roles: str, family: str = "f") -> str:
        return self.authority.access.issue(user, roles, family)

    def of(self, user: str, *roles: str, family: str = "f") -> Session:
        session = self.node.sessions.create(f"c{len(self.node.sessions)}", user)
        session.principal = self.authority.check(self.token(user, *roles, family=family))
        return session

    def show(self, session: Session, token: object) -> AnswerPayload:
        return self.say(
            session, msgspec.json.encode({"type": "auth", "id": "a", "payload": {"token": token}})
        )


JOIN = '{"type":"join_room","roomId":"%s"}'


async def test_rooms_that_a_new_token_does_not_open_are_left() -> None:
    bench = Guarded()
    session = bench.of("ada", "staff")
    for room in ("staff", "lobby"):
        assert bench.say(session, JOIN % room)["ok"]
    result = bench.show(session, bench.token("ada", "member"))
    assert (result["required"], result["left"]) == (True, ["staff"])
    assert list(session.rooms) == ["lobby"]
    assert bench.say(session, JOIN % "staff")["error"]["code"] == "forbidden"


async def test_what_one_token_let_a_client_publish_another_may_not() -> None:
    bench = Guarded()
    session = bench.of("ada", "member")
    chat = '{"type":"chat","roomId":"lobby","payload":{"text":"hi"}}'
    assert bench.say(session, JOIN % "lobby")["ok"]
    assert [bench.say(session, chat)["ok"] for _ in range(2)] == [True, True]
    assert bench.show(session, bench.token("ada", "guest"))["left"] == []
    assert bench.say(session, chat)["error"]["code"] == "forbidden"
    assert bench.show(session, bench.token("ada", "member"))["left"] == []
    assert bench.say(session, chat)["ok"]


@pytest.mark.parametrize(
    "room_id", ["../lobby", "lobby\0", "lobby\u202e", "x" * 10_000, "", "lobby/", "\uff4cobby"]
)
@pytest.mark.parametrize("place", ["top", "payload"])
async def test_a_room_name_that_is_none_is_refused_and_not_repeated(room_id: str, place: str) -> None:
    bench = Guarded()
    session = bench.of("ada", "staff")
    for kind, payload in (("join_room", {}), ("chat", {"text": "hi"})):
        named = {"roomId": room_id} if place == "top" else {}
        inside = payload if place == "top" else {**payload, "roomId": room_id}
        message = {"type": kind, "id": "1", "payload": inside, **named}
        answer = bench.say(session, msgspec.json.encode(message))
        assert not answer["ok"]
        said = answer["error"]["message"]
        assert len(said) < 200
        assert not room_id or room_id not in said
    assert session.rooms == {}
    assert len(bench.node.hub) == 0


async def test_the_memory_of_what_was_allowed_is_bounded() -> None:
    bench = Guarded()
    session = bench.of("ada", "member")
    for n in range(200):
        assert bench.say(session, JOIN % f"r{n}")["ok"]
        assert bench.say(session, f'{{"type":"chat","roomId":"r{n}","payload":{{"text":"hi"}}}}')["ok"]
        assert bench.say(session, f'{{"type":"leave_room","roomId":"r{n}"}}')["ok"]
    assert 0 < len(session.may_publish) <= MAX_ROOMS


async def test_after_its_end_a_token_opens_nothing_until_there_is_another() -> None:
    bench = Guarded()
    session = bench.of("ada", "staff")
    assert bench.say(session)["ok"]
    bench.now += 12
    assert bench.say(session)["error"]["code"] == "token_expired"
    assert bench.show(session, bench.token("ada", "staff"))["ok"]
    assert bench.say(session)["ok"]


async def test_a_token_is_told_its_own_end_and_honoured_for_the_leeway_beyond() -> None:
    bench = Guarded()
    session = bench.of("ada", "staff")
    bench.now += 4
    token = bench.token("ada", "staff")
    bench.now += 2
    assert bench.show(session, token)["expiresIn"] == 8.0
    bench.now += 8 + LEEWAY / 2
    assert bench.say(session)["ok"]
    bench.now += LEEWAY
    assert bench.say(session)["error"]["code"] == "token_expired"


async def test_another_users_token_is_not_taken_and_the_old_one_counts_on() -> None:
    bench = Guarded()
    session = bench.of("ada", "staff")
    codes = [
        bench.show(session, token)["error"]["code"] for token in (bench.token("bob", "staff"), "junk", 5)
    ]
    assert codes == ["wrong_user", "bad_token", "bad_token"]
    assert bench.say(session, JOIN % "staff")["ok"]


async def test_a_revoked_login_ends_its_sessions_and_no_other() -> None:
    bench = Guarded()
    mine, other = bench.of("ada", "staff"), bench.of("ada", "staff", family="g")
    bench.authority.refresh_tokens.revoke("f")
    bench.node.enforce()
    assert mine.ended is not None
    assert mine.ended.close_code == 4501
    assert other.ended is None
    assert [session is other for session in bench.node.sessions] == [True]


async def test_users_are_looked_up_again_from_time_to_time_whatever_their_token_says() -> None:
    bench = Guarded()
    ada, bob = bench.of("ada", "staff"), bench.of("bob", "member", family="g")
    for room in ("staff", "lobby"):
        assert bench.say(ada, JOIN % room)["ok"]
    bench.authority.users.change("ada", ("member",))
    bench.authority.users.change("bob", ())
    bench.now += 4
    bench.node.enforce()
    assert bench.say(ada, JOIN % "staff-2")["ok"]  # as the token says
    bench.now += 2
    bench.node.enforce()
    assert list(ada.rooms) == ["lobby"]
    assert bench.say(ada, JOIN % "staff")["error"]["code"] == "forbidden"
    assert bench.say(bob)["error"]["code"] == "revoked"
