"""``POST /send``: messages of clients that receive by event stream or by polls."""

from __future__ import annotations

from typing import Final, cast

import msgspec
from aiohttp import web

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import JSON, parse_json
from rtlab.protocol.limits import MAX_BATCH
from rtlab.server.endpoints.checks_before_connecting import BadOpening, ended_answer, read_principal
from rtlab.server.endpoints.request_body_limits import BadBody, read_body
from rtlab.server.http_json_responses import NODE, json_error, json_response
from rtlab.server.incoming_message import OnStream
from rtlab.server.maybe_awaitable_values import settled
from rtlab.server.node import Node
from rtlab.server.sessions.post_deduplication import PostAnswer, PostDeduplication
from rtlab.server.sessions.session_with_replay import Session

__all__ = ["send"]

#: Messages of one client that may wait for a broker while it sends more.
MAX_WAITING: Final = 4 * MAX_BATCH


class _OfPost(OnStream):
    """Sends acks and refusals over the session, too; reports undecodable data in the response only."""

    def __init__(self) -> None:
        self.error: MessageError | None = None

    def unreadable(self, session: Session, error: MessageError, text: str) -> None:
        self.error = error


async def send(request: web.Request) -> web.StreamResponse:
    """Process one message, or an array of messages, for an existing session; handle a repeated POST once."""
    node = request.app[NODE]
    session = _session(request)
    if session is None:
        return _unknown_session()
    if node.options.security == "right":
        # The session's id alone is not enough: somebody may have read it in a log, say.
        try:
            principal = read_principal(request)
        except BadOpening as error:
            return error.answer
        if principal is None or principal.user != session.user:
            return _unknown_session()
        session.principal = principal
        if request.content_type != "application/json":
            return json_error(415, "wrong_type", "expected Content-Type: application/json")
    try:
        body = await read_body(request)
    except BadBody as error:
        return error.answer
    session = _session(request)
    if session is None:
        return _unknown_session()
    if not session.present:
        session.detached_at = node.clock()
    if session.order.waiting > MAX_WAITING:
        text = f"{session.order.waiting:,} of your messages wait for the broker: try again later"
        return json_error(503, "busy", text, {"Retry-After": "1"})
    number = PostDeduplication.number(request.headers.get("Idempotency-Key", ""))
    if number is None:
        return await _handle(node, session, body)
    if not session.posts.begin(number):
        first = await session.posts.answer(number)
        if first is None:
            return json_error(409, "repeated", "a later POST of this session has been handled already")
        return web.Response(status=first.status, body=first.body, content_type="application/json")
    answer = PostAnswer(503, b"{}")
    try:
        response = await _handle(node, session, body)
        answer = PostAnswer(response.status, bytes(cast("bytes", response.body)))
    finally:
        session.posts.settle(number, answer)
    return response


async def _handle(node: Node, session: Session, body: bytes) -> web.Response:
    node.ingress.received_size += len(body)
    answers = _OfPost()
    array = body.lstrip().startswith(b"[")
    try:
        items = _split(body) if array else [body]
    except MessageError as error:
        # Not a JSON array: it counts as one message that cannot be decoded.
        node.ingress.reject(session, error, answers)
        items = []
    # Pass on all messages before waiting for a result, so that no other POST comes between them.
    later = [node.ingress.receive(session, item, JSON, answers) for item in items]
    results = [await settled(result) for result in later]
    if session.ended is not None:
        return ended_answer(session.ended)
    if answers.error is not None and not (array and items):
        return json_error(400, answers.error.code, str(answers.error))
    accepted = sum(1 for result in results if result["ok"])
    return json_response({"accepted": accepted, "results": results})


def _split(body: bytes) -> list[bytes]:
    items = parse_json(body, list[msgspec.Raw])
    if len(items) > MAX_BATCH:
        raise MessageError(f"expected at most {MAX_BATCH} messages, got {len(items)}", "too_large")
    return [bytes(item) for item in items]


def _session(request: web.Request) -> Session | None:
    session = request.app[NODE].sessions.get(request.query.get("session"))
    if session is None:
        return None
    client_id, user = request.query.get("clientId"), request.query.get("user")
    if client_id not in (None, session.client_id) or user not in (None, session.user):
        return None
    return session


def _unknown_session() -> web.Response:
    return json_error(404, "unknown_session", "no such session, or it has expired: open /sse or /poll again")
