"""A node without a socket: what is said to its one way in, and what comes back."""

from __future__ import annotations

from typing import Any

from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.server.node import Node
from rtlab.server.refusal_and_end_reasons import AnswerPayload
from rtlab.server.server_options import Options
from rtlab.server.sessions.session_with_replay import Session


class Bench:
    """A node whose clock is `now`; it wants a running loop, for presence."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.node = Node(Options(token="t", **options), lambda: self.now)
        # A jump of the clock is no long slice of the loop: everything is answered at once.
        self.node.turns._clock = lambda: 0.0

    def session(self, user: str = "ada", address: str = "127.0.0.1", rooms: tuple[str, ...] = ()) -> Session:
        session = self.node.sessions.create(f"c{len(self.node.sessions)}", user)
        session.address = address
        for room_id in rooms:
            assert self.say(session, f'{{"type":"join_room","roomId":"{room_id}"}}')["ok"]
        return session

    def say(
        self, session: Session, data: str | bytes = '{"type":"echo"}', codec: Codec = JSON
    ) -> AnswerPayload:
        result = self.node.ingress.receive(session, data, codec)
        assert isinstance(result, dict)
        return result


def results_of_batch(session: Session) -> list[AnswerPayload]:
    """What the newest ack says of each item."""
    return [frame.message for _, frame in session.after(0) if frame.message.type == "ack"][-1].payload[
        "results"
    ]
