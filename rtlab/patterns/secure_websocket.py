"""`SecureWebSocket`: an authenticated WebSocket, whose tokens are refreshed while it is open."""

from __future__ import annotations

import ssl as ssl_module
from typing import Any, Final
from weakref import WeakValueDictionary

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.protocol.urls import Origin, parse_url

#: (Origin, first refresh token) → `Tokens` in use. Connections that are given the same refresh token share
#: one object, because the server ends a login whose refresh token is presented twice.
_SHARED: Final[WeakValueDictionary[tuple[Origin, str], Tokens]] = WeakValueDictionary()

__all__ = ["SecureWebSocket"]


class SecureWebSocket(WebSocketConnection):
    """A `WebSocketConnection` with tokens: refreshed while it is open, never in its URL.

    Parameters
    ----------
    url : str
        ``ws://`` or ``wss://``.
    token, refresh_token : str, optional
        Tokens from a login. Connections of one program with the same refresh token share its refreshes.
    auth : Tokens, optional
        In place of `token` and `refresh_token`; can log in by itself, for instance.
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
            auth = _tokens(url, token, refresh_token, ssl)
        elif token is not None or refresh_token is not None:
            raise ValueError("expected auth, or token and refresh_token, not both")
        super().__init__(url, auth=auth, ssl=ssl, **options)
        self.auth = auth


def _tokens(
    url: str, token: str | None, refresh_token: str | None, ssl: ssl_module.SSLContext | None
) -> Tokens:
    if refresh_token is None:
        return Tokens(access_token=token, ssl=ssl)
    whose = parse_url(url, "ws://host:port/ws").origin, refresh_token
    known = _SHARED.get(whose)
    if known is None:
        known = _SHARED[whose] = Tokens(access_token=token, refresh_token=refresh_token, ssl=ssl)
    return known
