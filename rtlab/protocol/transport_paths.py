"""Where an rtlab server serves each transport: one table for the server, and for clients with a base URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rtlab.protocol.urls import Url, parse_url

__all__ = ["ENDPOINTS", "ROUTES", "endpoint_url"]

#: The path of each transport's endpoint, below the path of the server's base URL.
ENDPOINTS: Final[Mapping[str, str]] = {
    "websocket": "ws",
    "sse": "sse",
    "longpoll": "poll",
    "webrtc": "rtc/offer",
}

#: The path of each transport's endpoint in a request to the server. Every such request begins a connection,
#: or continues a long-polling one.
ROUTES: Final[Mapping[str, str]] = {transport: f"/{path}" for transport, path in ENDPOINTS.items()}


def endpoint_url(url: object, transport: str) -> Url:
    """Return the URL of one transport's endpoint.

    Parameters
    ----------
    url : object
        The server's base URL, with any of the schemes ``http``, ``https``, ``ws`` and ``wss``. The endpoints
        are below its path, and every request has its query. It may name one of the endpoints; the others
        then lie beside that one.
    transport : str
        One of `rtlab.protocol.transport_names.TRANSPORTS`.

    Returns
    -------
    Url
        With the scheme ``ws`` or ``wss`` for a WebSocket, ``http`` or ``https`` for any other transport.

    Raises
    ------
    ConnectFailed
        The URL is invalid, as for `parse_url`.

    Examples
    --------
    >>> str(endpoint_url("http://example.org/live/?room=lobby", "sse"))
    'http://example.org/live/sse?room=lobby'
    >>> str(endpoint_url("http://example.org/rtc/offer", "websocket"))
    'ws://example.org/ws'
    """
    base = parse_url(url)
    for path in ENDPOINTS.values():
        if base.path.endswith(f"/{path}"):
            base = base.above(path)
            break
    return base.over("ws" if transport == "websocket" else "http").below(ENDPOINTS[transport])
