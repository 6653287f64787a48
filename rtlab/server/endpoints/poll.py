"""``GET /poll``: long polling."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.server.authorization_while_connected import TOKEN_EXPIRED
from rtlab.server.endpoints.checks_before_connecting import BadOpening, ended_answer, read_opening
from rtlab.server.http_json_responses import NODE, json_error
from rtlab.server.last_event_id_cursor import format_cursor
from rtlab.server.sinks.batching_sink import batched
from rtlab.server.sinks.write_to_waiting_poll import PollSink

__all__ = ["poll"]

POLL_HEADERS: Final = {"Cache-Control": "no-store"}


async def poll(request: web.Request) -> web.StreamResponse:
    """Answer one poll: at once if messages wait, else when one comes, or with 204 at the timeout.

    A poll that begins or cannot continue a session is answered at once with the
    welcome; so is one with ``welcome=1``, from a client that reconnects.
    """
    node = request.app[NODE]
    try:
        asked = await read_opening(request)
    except BadOpening as error:
        return error.answer
    accepted = node.connections.accept(asked)
    session, position = accepted.session, accepted.position
    welcome = not accepted.resumed or "welcome" in request.query
    sink = PollSink()
    # A poll's answer holds several messages anyway: the batch window only decides when it is sent.
    carrier = batched(sink, JSON, asked.batch)
    node.connections.attach(accepted, carrier, welcome=welcome)
    try:
        await sink.wait(node.options.poll_timeout)
    finally:
        node.connections.detach(session, carrier)

    if sink.close_code == 4500:
        return json_error(409, "replaced", "another connection continues this session")
    if session.ended is not None:
        return ended_answer(session.ended)
    if sink.close_code == 4001:
        return ended_answer(TOKEN_EXPIRED)
    if not session.can_resume(position):
        # More messages came at once than the backlog keeps: begin a new session, never leave a silent gap.
        await node.prepare(asked)
        accepted = node.connections.accept(asked)
        session, position, welcome = accepted.session, accepted.position, True
        # This answer carries the new session: what the client missed in its rooms belongs to it.
        carrier = PollSink()
        node.connections.attach(accepted, carrier)
        node.connections.detach(session, carrier)
    messages = [accepted.welcome.encoded(JSON)] if welcome else []
    messages += [frame.encoded(JSON) for _, frame in session.after(position)]
    position = session.position
    if not messages:
        if sink.close_code is not None:
            return json_error(503, "stopping", "the server stops: try again", {"Retry-After": "1"})
        return web.Response(status=204, headers=POLL_HEADERS)
    cursor = format_cursor(session.session_id, position, session.room_positions(position).values())
    body = b'{"messages":[%b],"cursor":%b}' % (b",".join(messages), msgspec.json.encode(cursor))
    return web.Response(body=body, content_type="application/json", headers=POLL_HEADERS)
