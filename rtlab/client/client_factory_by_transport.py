"""A client of any of the four transports, made from a base URL and the transport's name."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.protocol.transport_paths import endpoint_url

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.webrtc.relay_candidate_rewrite import Relay

__all__ = ["check_transports", "make_client"]


def check_transports(transports: tuple[str, ...]) -> None:
    """Raise `ValueError` if a name is not a transport's, or if there are no names."""
    strangers = [name for name in transports if name not in TRANSPORTS]
    if strangers or not transports:
        raise ValueError(f"expected some of {', '.join(TRANSPORTS)}, got {', '.join(strangers) or 'none'}")


def make_client(
    transport: str,
    url: str,
    *,
    ssl: ssl_module.SSLContext | None = None,
    relay: Relay | None = None,
    **options: Any,
) -> Connection:
    """Make a connection that is not open yet.

    Parameters
    ----------
    transport : str
        One of `rtlab.protocol.transport_names.TRANSPORTS`.
    url : str
        The server's base URL, such as ``http://host:port``; see `endpoint_url`.
    ssl : ssl.SSLContext, optional
        The TLS settings for ``https://``; None uses the usual certificate authorities.
    relay : callable, optional
        For WebRTC: makes a relay for its packets. Other transports ignore it.
    **options
        As for `rtlab.client.connection.Connection`.

    Returns
    -------
    Connection
        It does not reconnect unless `options` say so, so that failures are visible.

    Raises
    ------
    ConnectFailed
        The URL is invalid.
    ValueError
        The transport is unknown.

    Examples
    --------
    >>> make_client("sse", "http://127.0.0.1:8000")
    <ServerSentEvents Disconnected>
    """
    check_transports((transport,))
    options = {"max_reconnect_attempts": 0, **options}
    there = endpoint_url(url, transport).with_userinfo
    if transport == "webrtc":
        # Importing aiortc takes 0.2 s, so it is imported only on demand.
        from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel

        return WebRTCChannel(there, ssl=ssl, relay=relay, **options)
    if transport == "websocket":
        return WebSocketConnection(there, ssl=ssl, **options)
    kind: Callable[..., Connection] = ServerSentEvents if transport == "sse" else LongPolling
    return kind(there, ssl=ssl, **options)
