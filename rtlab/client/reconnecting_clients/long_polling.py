"""`LongPolling`: a long-polling connection that reconnects."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import Any

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.connection import Connection
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.longpoll_transport import POLL_TIMEOUT, LongPollTransport
from rtlab.protocol.limits import MAX_MESSAGE_BYTES

__all__ = ["LongPolling"]


class LongPolling(Connection):
    """Long polling that reconnects.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``; without a path, ``/poll`` is used.
    headers, auth, ssl, poll_timeout, max_message_bytes
        As for `LongPollTransport`.
    **options
        As for `Connection`: ``backoff``, ``max_reconnect_attempts``,
        ``connect_timeout`` and so on.

    Examples
    --------
    >>> async def echo(url: str) -> None:
    ...     async with LongPolling(url) as conn:
    ...         print((await conn.request("echo", {"n": 1})).payload)
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: Tokens | None = None,
        ssl: ssl_module.SSLContext | None = None,
        poll_timeout: float = POLL_TIMEOUT,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        **options: Any,
    ) -> None:
        headers, cookies = dict(headers or {}), CookieStore()

        def transport() -> LongPollTransport:
            return LongPollTransport(
                url,
                headers=headers,
                auth=auth,
                ssl=ssl,
                poll_timeout=poll_timeout,
                max_message_bytes=max_message_bytes,
                cookies=cookies,
            )

        super().__init__(transport, auth=auth, **options)
