"""``GET /sse``: server-sent events."""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11, web

from rtlab.protocol.http_headers import PROTOCOL, PROTOCOL_FIELD
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.server.endpoints.checks_before_connecting import BadOpening, read_opening
from rtlab.server.http_json_responses import NODE
from rtlab.server.sinks.batching_sink import batched
from rtlab.server.sinks.sink_interface import bound_send_buffer
from rtlab.server.sinks.write_to_event_stream import EventStreamSink

__all__ = ["event_stream"]

STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    # "no-transform" keeps proxies from compressing, X-Accel-Buffering keeps nginx from buffering.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    PROTOCOL_FIELD: PROTOCOL,
}


async def event_stream(request: web.Request) -> web.StreamResponse:
    """Serve one stream of server-sent events until either side ends it."""
    node = request.app[NODE]
    try:
        asked = await read_opening(request)
    except BadOpening as error:
        return error.answer
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
    bound_send_buffer(transport, node.options.send_buffer_bytes)

    accepted = node.connections.accept(asked)
    session = accepted.session
    sink = EventStreamSink(
        transport,
        session.session_id,
        session.room_positions(accepted.position),
        chunked=chunked,
        turns=node.turns,
    )
    carrier = batched(sink, JSON, asked.batch)
    node.connections.attach(accepted, carrier)
    try:
        await sink.ended
    finally:
        node.connections.detach(session, carrier)
    return response
