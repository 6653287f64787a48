"""`RealtimeClient.connect(url)`: one call that ends with messages flowing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from rtlab.client.circuit_breaker import CircuitBreaker
from rtlab.client.connection import Connection
from rtlab.client.transports.base import Transport
from rtlab.errors import ConnectFailed
from rtlab.patterns.fallback import Attempt, FallbackTransport, Memory

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["RealtimeClient", "RealtimeConnection"]

ORDER: Final = ("websocket", "sse", "longpoll")


class RealtimeConnection(Connection):
    """A connection over whichever transport gets through.

    Parameters
    ----------
    url : str
        The server: ``http://host:port`` or ``ws://host:port``; a path is ignored.
    transports : sequence of str
        Names in the order of preference.
    deadline : float
        Seconds that each transport has for its first message.
    memory : Memory, optional
        What is known of this origin; share one among clients.
    breakers : mapping, optional
        A `CircuitBreaker` per name.
    options : mapping, optional
        Name → keyword arguments of that transport (``headers``, ``ssl`` …).
    max_attempts_kept : int
        How many of the latest attempts `attempts` shows.
    **connection
        As for `Connection`; `connect_timeout` covers all candidates together.

    Attributes
    ----------
    attempts : pandas.DataFrame
        What was tried, in order: transport, outcome, reason, seconds.

    """

    def __init__(
        self,
        url: str,
        *,
        transports: Sequence[str] = ORDER,
        deadline: float = 3.0,
        memory: Memory | None = None,
        breakers: Mapping[str, CircuitBreaker] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        max_attempts_kept: int = 1000,
        **connection: Any,
    ) -> None:
        origin, makers = _makers(url, options or {})
        unknown = [name for name in transports if name not in makers]
        if unknown or not transports:
            raise ValueError(f"expected transports out of {', '.join(makers)}, got {list(transports)}")
        self.memory = memory if memory is not None else Memory()
        self._attempts: list[Attempt] = []
        candidates = {name: makers[name] for name in transports}

        def transport() -> FallbackTransport:
            del self._attempts[:-max_attempts_kept]
            return FallbackTransport(
                origin,
                candidates,
                self.memory,
                deadline=deadline,
                breakers=breakers or {},
                attempts=self._attempts,
            )

        connection.setdefault("connect_timeout", deadline * len(candidates) + 1.0)
        super().__init__(transport, **connection)

    @property
    def transport(self) -> str:
        """Name of the transport in use, empty when none is."""
        return self.stats.transport

    @property
    def attempts(self) -> pd.DataFrame:
        """What was tried, in order, as a table."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        rows = [msgspec.structs.asdict(attempt) for attempt in self._attempts]
        return pd.DataFrame(rows, columns=["transport", "outcome", "reason", "seconds"])


class RealtimeClient:
    """The seed's entry point: whichever transport gets through."""

    @staticmethod
    async def connect(url: str, **options: Any) -> RealtimeConnection:
        """Connect over the best transport that works.

        Parameters
        ----------
        url : str
            The server: ``http://host:port`` or ``ws://host:port``.
        **options
            As for `RealtimeConnection`.

        Returns
        -------
        RealtimeConnection
            Connected. Its `attempts` says what was tried.

        Raises
        ------
        ConnectFailed
            No transport works. It lists why.

        Examples
        --------
        >>> async def main(url: str) -> None:
        ...     async with await RealtimeClient.connect(url) as client:
        ...         print(client.transport, client.attempts)
        """
        client = RealtimeConnection(url, **options)
        await client.connect()
        return client


def _makers(
    url: str, options: Mapping[str, Mapping[str, Any]]
) -> tuple[str, dict[str, Callable[[], Transport]]]:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
            raise ValueError("the scheme is another, or the host is missing")
    except ValueError as error:
        raise ConnectFailed(
            f"expected a URL like http://host:port or ws://host:port, got {url!r}", retryable=False
        ) from error
    tls = "s" if parts.scheme in ("https", "wss") else ""
    http, ws = f"http{tls}://{parts.netloc}", f"ws{tls}://{parts.netloc}"

    # Imported when they are used: aiortc alone takes a third of a second.
    def websocket() -> Transport:
        from rtlab.client.transports.websocket import WebSocketTransport

        return WebSocketTransport(f"{ws}/ws", **options.get("websocket", {}))

    def sse() -> Transport:
        from rtlab.client.transports.sse import SseTransport

        return SseTransport(f"{http}/sse", **options.get("sse", {}))

    def longpoll() -> Transport:
        from rtlab.client.transports.longpoll import LongPollTransport

        return LongPollTransport(f"{http}/poll", **options.get("longpoll", {}))

    def webrtc() -> Transport:
        from rtlab.client.transports.webrtc import WebRTCTransport

        return WebRTCTransport(f"{http}/rtc/offer", **options.get("webrtc", {}))

    return parts.netloc, {"websocket": websocket, "sse": sse, "longpoll": longpoll, "webrtc": webrtc}
