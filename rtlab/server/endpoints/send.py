"""``POST /send``: messages of clients that receive by event stream or by polls."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple, cast

import msgspec
from aiohttp import web

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import JSON, parse_json
from rtlab.protocol.limits import MAX_BATCH
from rtlab.server.endpoints.checks_before_connecting import BadOpening, ended_answer, read_principal
from rtlab.server.endpoints.request_body_limits import BadBody, read_body
from rtlab.server.http_json_responses import NODE, json_error, json_response
from rtlab.server.incoming_message import OnStream
from rtlab.server.maybe_awaitable_values import Later, settled
from rtlab.server.node import Node
from rtlab.server.refusal_and_end_reasons import AnswerPayload
from rtlab.server.sessions.post_deduplication import PostAnswer, PostDeduplication
from rtlab.server.sessions.session_with_replay import Session

__all__ = ["SendEndpoint", "add_routes"]

#: Messages of one client that may wait for a broker while it sends more.
MAX_WAITING: Final = 4 * MAX_BATCH

#: The answer to the repeats of a POST that could not be handled to its end.
FAILED: Final = PostAnswer(503, b"{}")


class _OfPost(OnStream):
    """Sends acks and refusals over the session, too; reports undecodable data in the response only."""

    def __init__(self) -> None:
        self.error: MessageError | None = None

    def unreadable(self, session: Session, error: MessageError, text: str) -> None:
        self.error = error


class SendEndpoint:
    """The route's handler, which owns the tasks that handle numbered POSTs."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[web.Response]] = set()

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Process one message, or an array of messages, for a session; handle a repeated POST once."""
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
            return await _result(session, _pass_on(node, session, body))
        if not session.posts.begin(number):
            first = await session.posts.answer(number)
            if first is None:
                return json_error(409, "repeated", "a later POST of this session has been handled already")
            return web.Response(status=first.status, body=first.body, content_type="application/json")
        try:
            passed = _pass_on(node, session, body)
        except BaseException:
            session.posts.settle(number, FAILED)
            raise
        answering = _answer(session, number, passed)
        if not any(isinstance(result, asyncio.Future) for result in passed.results):
            return await answering  # waits for nothing, so nobody can cancel it
        # aiohttp cancels this handler when its connection breaks. What the POST sent is published all the
        # same, and a proxy may have repeated the POST already: the repeat gets the answer of this task.
        task = asyncio.create_task(answering, name="numbered POST")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await settled(task)

    async def stop(self, app: web.Application) -> None:
        """Give up the POSTs that the broker has not answered while the server stopped."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def add_routes(app: web.Application) -> None:
    """Add the route to an application, which ends its tasks when it ends itself.

    Parameters
    ----------
    app : aiohttp.web.Application
        Its node must be set.
    """
    endpoint = SendEndpoint()
    app.router.add_post("/send", endpoint.send)
    app.on_cleanup.append(endpoint.stop)


class _Passed(NamedTuple):
    """What became of a POST's messages: where answers went, and the results, now or later."""

    answers: _OfPost
    results: list[Later[AnswerPayload]]
    is_array: bool


def _pass_on(node: Node, session: Session, body: bytes) -> _Passed:
    """Pass on all messages of a POST in one call, so that no other POST comes between them."""
    node.ingress.received_size += len(body)
    answers = _OfPost()
    array = body.lstrip().startswith(b"[")
    try:
        items = _split(body) if array else [body]
    except MessageError as error:
        # Not a JSON array: it counts as one message that cannot be decoded.
        node.ingress.reject(session, error, answers)
        items = []
    results = [node.ingress.receive(session, item, JSON, answers) for item in items]
    return _Passed(answers, results, array and bool(items))


async def _result(session: Session, passed: _Passed) -> web.Response:
    """Return the response to a POST, once all its messages have their results."""
    results = [await settled(result) for result in passed.results]
    if session.ended is not None:
        return ended_answer(session.ended)
    error = passed.answers.error
    if error is not None and not passed.is_array:
        return json_error(400, error.code, str(error))
    accepted = sum(1 for result in results if result["ok"])
    return json_response({"accepted": accepted, "results": results})


async def _answer(session: Session, number: int, passed: _Passed) -> web.Response:
    """Return the response to a numbered POST, and keep it for repeats."""
    answer = FAILED
    try:
        response = await _result(session, passed)
        answer = PostAnswer(response.status, bytes(cast("bytes", response.body)))
    finally:
        session.posts.settle(number, answer)
    return response


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
