"""SecureWebSocket: the seed's words, on a WebSocketConnection."""

from __future__ import annotations

import pytest

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.patterns.secure_websocket import SecureWebSocket


def test_it_is_a_websocket_connection_with_tokens() -> None:
    conn = SecureWebSocket("ws://127.0.0.1:1/ws", "access", "refresh")
    assert isinstance(conn, WebSocketConnection)
    assert (conn.auth.access_token, conn.auth.refresh_token) == ("access", "refresh")
    with pytest.raises(ValueError, match="expected user and password"):
        SecureWebSocket("ws://127.0.0.1:1/ws")


def test_connections_with_one_refresh_token_share_what_becomes_of_it() -> None:
    first = SecureWebSocket("ws://127.0.0.1:1/ws", "access", "refresh-1")
    assert SecureWebSocket("ws://127.0.0.1:1/other", "old access", "refresh-1").auth is first.auth
    for url, token in (("ws://127.0.0.1:2/ws", "refresh-1"), ("ws://127.0.0.1:1/ws", "refresh-2")):
        assert SecureWebSocket(url, "access", token).auth is not first.auth
