"""`WebSocketConnection`: a WebSocket that reconnects."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import Any

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.connection import Connection
from rtlab.client.connection_options import checked_option
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.deflate_offer import Compression, offer
from rtlab.client.transports.websocket_transport import WebSocketTransport
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.protocol.limits import MAX_MESSAGE_BYTES

__all__ = ["WebSocketConnection"]


class WebSocketConnection(Connection):
    """A WebSocket that reconnects.

    Parameters
    ----------
    url : str
        ``ws://`` or ``wss://``.
    codec, compression, headers, origin, auth, ssl, max_message_bytes, send_timeout
        As for `WebSocketTransport`.
    **options
        As for `Connection`: ``backoff``, ``max_reconnect_attempts``,
        ``reconnect_interval``, ``min_uptime``, ``connect_timeout`` and so on.

    Examples
    --------
    >>> async def echo(url: str) -> None:
    ...     async with WebSocketConnection(url) as conn:
    ...         print((await conn.request("echo", {"n": 1})).payload)
    """

    def __init__(
        self,
        url: str,
        *,
        codec: Codec = JSON,
        compression: Compression = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        auth: Tokens | None = None,
        ssl: ssl_module.SSLContext | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        send_timeout: float = 10.0,
        **options: Any,
    ) -> None:
        offer(compression)  # refuses a wrong value here, rather than at each attempt
        headers, cookies = dict(headers or {}), CookieStore()

        def transport() -> WebSocketTransport:
            return WebSocketTransport(
                url,
                codec=codec,
                compression=compression,
                headers=headers,
                origin=origin,
                auth=auth,
                ssl=ssl,
                cookies=cookies,
                max_message_bytes=max_message_bytes,
                send_timeout=send_timeout,
            )

        checked_option("codec", codec, "rtlab.protocol.json_and_messagepack_codecs.JSON", "encode", "decode")
        super().__init__(transport, auth=auth, **options)
