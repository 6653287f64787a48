"""The WebSocket transport of rtlab's client, on a `MockWebSocket` instead of a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from websockets.exceptions import ConnectionClosed

from rtlab.client.connection import Connection
from rtlab.client.transports.websocket_transport import WebSocketTransport, closed_by
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import Message
from rtlab.testing.fake_clock import loop_time
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer

__all__ = ["MockTransport", "mock_connection"]


class MockTransport(WebSocketTransport):
    """rtlab's own WebSocket transport; only the code that touches a socket is replaced.

    Parameters
    ----------
    peer : ScriptedPeer
        The peer to connect to.
    url : str
        The URL that the peer sees in the handshake.
    codec : Codec
        The codec to offer, by its subprotocol.
    max_message_bytes : int
        The largest message to accept and to send, in bytes.
    """

    def __init__(
        self,
        peer: ScriptedPeer,
        url: str = "ws://mock.test/ws",
        *,
        codec: Codec = JSON,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        super().__init__(url, codec=codec, max_message_bytes=max_message_bytes)
        self._peer = peer
        self._mock: MockWebSocket | None = None

    @property
    def buffered_bytes(self) -> int:
        """Always 0: nothing is buffered."""
        return 0

    async def _shake_hands(self, url: str, headers: Mapping[str, str]) -> Any:
        mock = self._mock = MockWebSocket(
            self._peer, url, protocols=[self.codec.subprotocol], close_timeout=1.0
        )
        try:
            await mock.opened()
        except BaseException:
            mock.abort()
            raise
        return mock

    async def send(self, message: Message) -> None:
        """Hand one message to the peer; see `WebSocketTransport.send`."""
        assert self._mock is not None
        data = self.codec.encode(message, self.max_message_bytes)
        try:
            await self._mock.send(data if self.codec.binary else data.decode())
        except ConnectionClosed as error:
            raise closed_by(error) from error
        self.bytes_out += len(data)

    def send_at_once(self, batch: Message) -> bool:
        """Return False, so that the caller uses `send`: a message to the peer must be awaited."""
        return False

    def abort(self) -> None:
        """Drop the connection."""
        if self._mock is not None:
            self._mock.abort()


def mock_connection(
    peer: ScriptedPeer | PeerScript, url: str = "ws://mock.test/ws", **options: Any
) -> Connection:
    """Make a real `Connection`, whose every attempt connects to a peer in memory.

    Parameters
    ----------
    peer : ScriptedPeer or PeerScript
        The other end. A script starts anew with each connection.
    url : str
        The URL that the peer sees in the handshake.
    **options
        Options of `WebSocketConnection`.

    Returns
    -------
    Connection
        By default its clock is the running event loop's, so that a `FakeClock` controls it.

    Examples
    --------
    >>> from rtlab.testing.fake_clock import FakeClock
    >>> import asyncio
    >>> async def restart():
    ...     script = PeerScript().pause(5).close(1012)
    ...     async with mock_connection(script, backoff=None) as conn:
    ...         seen = asyncio.Event()
    ...         conn.on("reconnecting", lambda event: seen.set())
    ...         await seen.wait()
    ...         return conn.state.value
    >>> FakeClock().run(restart())
    'Reconnecting'
    """
    there = peer if isinstance(peer, ScriptedPeer) else ScriptedPeer(peer)
    own = {name: options.pop(name) for name in ("codec", "max_message_bytes") if name in options}
    options.setdefault("clock", loop_time)
    return Connection(lambda: MockTransport(there, url, **own), **options)
