"""`RealtimeClient.connect(url)`: one call that ends with messages flowing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.client.connection import Connection
from rtlab.client.event_emitter import Moved
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.credentials_interface import Credentials
from rtlab.client.transports.transport_interface import Transport
from rtlab.patterns.transport_blocklist import Blocklist
from rtlab.patterns.transport_choice_strategy import BEST_FIRST, Strategy
from rtlab.patterns.transport_fallback import Fallback, Owner, Trial
from rtlab.protocol.message_format import Message
from rtlab.protocol.transport_paths import endpoint_url
from rtlab.protocol.urls import parse_url

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["RealtimeClient", "RealtimeConnection"]

ORDER: Final = ("websocket", "sse", "longpoll")


class RealtimeConnection(Connection):
    """A connection over whichever transport gets through.

    Parameters
    ----------
    url : str
        The server's base URL, such as ``http://host:port`` or ``ws://host:port``; see `endpoint_url`.
    transports : sequence of str
        Names in the order of preference.
    deadline : float
        Seconds that each transport has for its first message.
    strategy : Strategy
        `BEST_FIRST` begins with the first of `transports`, `SUREST_FIRST` with the last;
        both move to better transports while messages flow, with a ``moved`` event.
    blocklist : Blocklist, optional
        Remembers which transports failed; share one among clients. None makes a new one.
    breakers : mapping, optional
        A `CircuitBreaker` per transport name; a transport with an open one is skipped.
    options : mapping, optional
        Name → keyword arguments of that transport (``headers``, ``ssl`` …).
    max_attempts_kept : int
        How many of the latest trials `attempts` shows.
    **connection
        As for `Connection`; `connect_timeout` covers all candidates together.

    Attributes
    ----------
    attempts : pandas.DataFrame
        The trials in order: transport, outcome, reason, seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        transports: Sequence[str] = ORDER,
        deadline: float = 3.0,
        strategy: Strategy = BEST_FIRST,
        blocklist: Blocklist | None = None,
        breakers: Mapping[str, CircuitBreaker] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        max_attempts_kept: int = 1000,
        **connection: Any,
    ) -> None:
        origin, makers = _makers(url, options or {}, connection.get("auth"))
        unknown = [name for name in transports if name not in makers]
        if unknown or not transports:
            raise ValueError(f"expected transports out of {', '.join(makers)}, got {list(transports)}")
        self.blocklist = blocklist if blocklist is not None else Blocklist()
        self._trials: deque[Trial] = deque(maxlen=max_attempts_kept)
        candidates = {name: makers[name] for name in transports}

        def transport() -> Fallback:
            return Fallback(
                origin,
                candidates,
                self.blocklist,
                deadline=deadline,
                breakers=breakers or {},
                trials=self._trials,
                strategy=strategy,
                owner=Owner(self._runner.spawn, self._dispatch.position.resume, self._moved),
                rng=connection.get("rng"),
            )

        connection.setdefault("connect_timeout", deadline * len(candidates) + 1.0)
        super().__init__(transport, **connection)

    @property
    def transport(self) -> str:
        """Name of the transport in use, empty when none is."""
        return self.stats.transport

    @property
    def attempts(self) -> pd.DataFrame:
        """The trials in order, as a table."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        rows = [msgspec.structs.astuple(trial) for trial in self._trials]
        return pd.DataFrame(rows, columns=["transport", "outcome", "reason", "seconds"])

    def _moved(self, former: str, name: str, welcome: Message) -> None:
        opened = self._runner.opened
        assert opened is not None
        opened.move(welcome)
        self._dispatch.tell("moved", Moved(at=self._clock(), former=former, transport=name))


class RealtimeClient:
    """The one-call way to connect: tries the transports in order and returns the first that works."""

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
            A connected client. Its `attempts` lists the transports that were tried.

        Raises
        ------
        ConnectFailed
            No transport works; the message says why, for each.

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
    url: str, options: Mapping[str, Mapping[str, Any]], auth: Credentials | None
) -> tuple[str, dict[str, Callable[[], Transport]]]:
    given, cookies = parse_url(url), CookieStore()

    def to(name: str) -> tuple[str, dict[str, Any]]:
        """Return a transport's URL and options."""
        chosen = {"cookies": cookies, "auth": auth, **options.get(name, {})}
        return endpoint_url(url, name).with_userinfo, chosen

    # Imported on use: importing aiortc alone takes a third of a second.
    def websocket() -> Transport:
        from rtlab.client.transports.websocket_transport import WebSocketTransport

        there, chosen = to("websocket")
        return WebSocketTransport(there, **chosen)

    def sse() -> Transport:
        from rtlab.client.transports.sse_transport import SseTransport

        there, chosen = to("sse")
        return SseTransport(there, **chosen)

    def longpoll() -> Transport:
        from rtlab.client.transports.longpoll_transport import LongPollTransport

        there, chosen = to("longpoll")
        return LongPollTransport(there, **chosen)

    def webrtc() -> Transport:
        from rtlab.client.transports.webrtc_transport import WebRTCTransport

        there, chosen = to("webrtc")
        return WebRTCTransport(there, **chosen)

    return given.netloc, {"websocket": websocket, "sse": sse, "longpoll": longpoll, "webrtc": webrtc}
