"""`ServerSentEvents`: an event stream that reconnects."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import Any

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.connection import Connection
from rtlab.client.event_emitter import LOCAL_EVENTS, Handler
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.sse_transport import SILENCE_TIMEOUT, SseTransport
from rtlab.client.user_callback_errors import check_callback
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import Message

__all__ = ["ServerSentEvents"]


class ServerSentEvents(Connection):
    """An event stream that reconnects.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``; without a path, ``/sse`` is used.
    plain, strict, headers, auth, ssl, silence_timeout, max_message_bytes
        As for `SseTransport`.
    **options
        As for `Connection`: ``backoff``, ``max_reconnect_attempts``,
        ``connect_timeout`` and so on.

    Notes
    -----
    A ``retry:`` field sets the delay after a lost stream, as in a browser, plus a random
    jitter of up to half of it. If the reconnect then fails, the backoff sets further delays.

    Examples
    --------
    >>> async def watch(url: str) -> None:
    ...     async with ServerSentEvents(url, plain=True) as stream:
    ...         stream.add_event_listener("price", lambda event: print(event.payload))
    ...         await asyncio.sleep(60)
    """

    def __init__(
        self,
        url: str,
        *,
        plain: bool = False,
        strict: bool = False,
        headers: Mapping[str, str] | None = None,
        auth: Tokens | None = None,
        ssl: ssl_module.SSLContext | None = None,
        silence_timeout: float = SILENCE_TIMEOUT,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        **options: Any,
    ) -> None:
        headers, cookies = dict(headers or {}), CookieStore()
        last: SseTransport | None = None

        def transport() -> SseTransport:
            nonlocal last
            last = SseTransport(
                url,
                plain=plain,
                strict=strict,
                headers=headers,
                auth=auth,
                ssl=ssl,
                silence_timeout=silence_timeout,
                max_message_bytes=max_message_bytes,
                cookies=cookies,
                previous=last,
            )
            return last

        self._listeners: dict[tuple[str, Handler], Handler] = {}
        super().__init__(transport, auth=auth, **options)

    def add_event_listener(self, type: str, listener: Handler) -> None:
        """Call `listener` with each of the server's events of one type, as a browser does.

        The listener gets a `Message` whose payload is the event's data. Unlike `on`, this is never
        about the connection itself: ``"error"`` and ``"connected"`` are the server's events of that name.
        """
        check_callback(listener, "a listener")
        if type not in LOCAL_EVENTS:
            self.on(type, listener)
        elif (type, listener) not in self._listeners:

            def of_that_type(message: Message) -> object:
                return listener(message) if message.type == type else None

            self._listeners[type, listener] = of_that_type
            self.on("*", of_that_type)

    def remove_event_listener(self, type: str, listener: Handler) -> None:
        """Undo `add_event_listener`; an unknown listener is no error."""
        if type not in LOCAL_EVENTS:
            self.off(type, listener)
        elif (type, listener) in self._listeners:
            self.off("*", self._listeners.pop((type, listener)))
