"""A server on the test's own loop, whose rooms a test can reach into, and clients of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.node import Node
from rtlab.server.server_options import Options

KINDS = (WebSocketConnection, ServerSentEvents, LongPolling, WebRTCChannel)


@contextlib.asynccontextmanager
async def serving(**options) -> AsyncIterator[Server]:
    """Run a server for a block."""
    server = Server(Node(Options(token="", stop_window=0.0, **options)), "127.0.0.1", 0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def client(server, kind=WebSocketConnection, **options):
    """Make a client of one kind."""
    scheme, path = ("ws", "/ws") if kind is WebSocketConnection else ("http", "")
    return kind(f"{scheme}://127.0.0.1:{server.port}{path}", backoff=Constant(0.01), **options)


def publish(server, room_id, payload, type="chat"):
    """Publish a message as nobody."""
    hub = server.node.hub
    epoch, offset = hub.next_place(room_id)
    hub.deliver(room_id, Message(type, payload, room_id=room_id, epoch=epoch, offset=offset))


def drop_silently(server, room_id):
    """Forget all members of a room, and tell nobody: a bug of a server."""
    server.node.hub[room_id].members.clear()
