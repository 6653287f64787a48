"""`SecureWebSocket`: a WebSocket that proves who it is, and stays proven."""

from __future__ import annotations

import ssl as ssl_module
from typing import Any

from rtlab.client.tokens import Tokens
from rtlab.client.websocket_connection import WebSocketConnection

__all__ = ["SecureWebSocket"]


class SecureWebSocket(WebSocketConnection):
    """A `WebSocketConnection` with tokens: refreshed while it is open, never in its URL.

    Parameters
    ----------
    url : str
        ``ws://`` or ``wss://``.
    token, refresh_token : str, optional
        What a login gave.
    auth : Tokens, optional
        In their place: logs in by itself, say.
    **options
        As for `WebSocketConnection`.

    Examples
    --------
    >>> SecureWebSocket("wss://example.org/ws", auth=Tokens("ada", "analytical engine"))
    <SecureWebSocket Disconnected>
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        refresh_token: str | None = None,
        *,
        auth: Tokens | None = None,
        ssl: ssl_module.SSLContext | None = None,
        **options: Any,
    ) -> None:
        if auth is None:
            auth = Tokens(access_token=token, refresh_token=refresh_token, ssl=ssl)
        elif token is not None or refresh_token is not None:
            raise ValueError("expected auth, or token and refresh_token, not both")
        super().__init__(url, auth=auth, ssl=ssl, **options)
        self.auth = auth
