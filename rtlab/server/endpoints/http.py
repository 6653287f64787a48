"""``GET /sse``, ``GET /poll`` and ``POST /send``: the transports that are plain HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import HttpVersion11, web

from rtlab.errors import MessageError
from rtlab.protocol.codecs import JSON
from rtlab.server.cursor import format_cursor
from rtlab.server.middleware.guard import NODE, json_error, json_response
from rtlab.server.opening import BadOpening, read_opening
from rtlab.server.protocol import MAX_BATCH, Result
from rtlab.server.sinks.delivery import EventStreamSink, PollSink

if TYPE_CHECKING:
    from rtlab.server.node import Node
    from rtlab.server.sessions import Session

__all__ = ["BadBody", "event_stream", "poll", "read_body", "send"]

#: Seconds that a request's body may take.
BODY_TIMEOUT: Final = 10.0

STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    # "no-transform" keeps proxies from compressing, X-Accel-Buffering keeps nginx from buffering.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
POLL_HEADERS: Final = {"Cache-Control": "no-store"}

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def event_stream(request: web.Request) -> web.StreamResponse:
    """Serve one stream of server-sent events until either side ends it."""
    node = request.app[NODE]
    try:
        opening = read_opening(request.query, request.headers)
    except BadOpening as error:
        return json_error(400, "bad_opening", str(error))
    response = web.StreamResponse(headers=STREAM_HEADERS)
    chunked = request.version >= HttpVersion11
    if chunked:
        response.enable_chunked_encoding()
    response.force_close()
    await response.prepare(request)
    # aiohttp holds the headers back until the first bytes.
    await response.write(b": connected\n\n")
    transport = request.transport
    if transport is None:
        return response

    opened = node.open(opening)
    session = opened.session
    sink = EventStreamSink(
        transport,
        session.session_id,
        session.marks(opened.position),
        limit_bytes=node.options.write_limit_bytes,
        chunked=chunked,
        cut_off=node.count_slow_client,
    )
    node.attach(opened, sink)
    try:
        await sink.ended
    finally:
        node.detach(session, sink)
    return response


async def poll(request: web.Request) -> web.StreamResponse:
    """Answer one poll: at once if there is something, else when there is, else 204.

    A poll that begins or cannot continue a session is answered at once with the
    welcome; so is one with ``welcome=1``, from a client that reconnects.
    """
    node = request.app[NODE]
    try:
        opening = read_opening(request.query, request.headers)
    except BadOpening as error:
        return json_error(400, "bad_opening", str(error))
    opened = node.open(opening)
    session, position = opened.session, opened.position
    welcome = not opened.resumed or "welcome" in request.query
    sink = PollSink()
    node.attach(opened, sink, welcome=welcome)
    try:
        await sink.wait(node.options.poll_timeout)
    finally:
        node.detach(session, sink)

    if sink.code == 4500:
        return json_error(409, "replaced", "another connection continues this session")
    if not session.can_resume(position):
        # More came at once than is kept: never a silent gap.
        opened = node.open(opening)
        session, position, welcome = opened.session, opened.position, True
    messages = [opened.welcome.encoded(JSON)] if welcome else []
    messages += [frame.encoded(JSON) for _, frame in session.after(position)]
    position = session.position
    if not messages:
        if sink.code is not None:
            return json_error(503, "stopping", "the server stops: try again", {"Retry-After": "1"})
        return web.Response(status=204, headers=POLL_HEADERS)
    cursor = format_cursor(session.session_id, position, session.marks(position).values())
    body = b'{"messages":[%b],"cursor":%b}' % (b",".join(messages), msgspec.json.encode(cursor))
    return web.Response(body=body, content_type="application/json", headers=POLL_HEADERS)


class BadBody(Exception):
    """A request's body that cannot be had.

    Parameters
    ----------
    answer : web.Response
        What to answer; it says why.
    """

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


async def read_body(request: web.Request) -> bytes:
    """Return the whole body of a request.

    Raises
    ------
    BadBody
        When it is compressed, does not come in time, or is too large.
    """
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        text = f"expected a body without Content-Encoding, got {encoding!r:.40}: send it as it is"
        raise BadBody(json_error(415, "compressed", text))
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError:
        text = f"expected the whole body within {BODY_TIMEOUT:g} s"
        raise BadBody(json_error(408, "slow_body", text)) from None
    except web.HTTPRequestEntityTooLarge:
        limit = request.app[NODE].options.max_message_bytes
        text = f"expected at most {limit:,} bytes: send less at a time"
        raise BadBody(json_error(413, "too_large", text)) from None


async def send(request: web.Request) -> web.StreamResponse:
    """Take one message, or an array of them, from a client whose stream is elsewhere."""
    node = request.app[NODE]
    if _session(request) is None:
        return _unknown_session()
    try:
        body = await read_body(request)
    except BadBody as error:
        return error.answer
    session = _session(request)
    if session is None:
        return _unknown_session()
    if not session.present:
        session.detached_at = node.clock()
    try:
        results = _receive(node, session, body)
    except MessageError as error:
        return json_error(400, error.code, str(error))
    accepted = sum(1 for result in results if result["ok"])
    return json_response({"accepted": accepted, "results": results})


def _receive(node: Node, session: Session, body: bytes) -> list[Result]:
    if not body.lstrip().startswith(b"["):
        return [_receive_one(node, session, body)]
    try:
        items = _split(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from None
    if len(items) > MAX_BATCH:
        raise MessageError(f"expected at most {MAX_BATCH} messages, got {len(items)}", "too_large")
    results: list[Result] = []
    for item in items:
        try:
            results.append(_receive_one(node, session, bytes(item)))
        except MessageError as error:
            refusal = {"code": error.code, "message": str(error)}
            results.append({"ok": False, "id": None, "error": refusal})
    return results


def _receive_one(node: Node, session: Session, data: bytes) -> Result:
    node.received += 1
    message = JSON.decode(data, node.options.max_message_bytes)
    return node.protocol.receive(session, message)


def _session(request: web.Request) -> Session | None:
    session = request.app[NODE].sessions.get(request.query.get("session"))
    client_id = request.query.get("clientId")
    if session is None or client_id not in (None, session.client_id):
        return None
    return session


def _unknown_session() -> web.Response:
    return json_error(404, "unknown_session", "no such session, or it has expired: open /sse or /poll again")
