"""A client's tokens: `Tokens` logs in, refreshes them in time, and sends them to one origin only."""

from __future__ import annotations

import asyncio
import base64
import ssl as ssl_module
import time
from collections.abc import Callable
from typing import Any, Final, Literal, cast

import numpy as np

from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.client.transports.auth_api_requests import ask_for_tokens
from rtlab.client.transports.credentials_interface import NOTHING, Proof
from rtlab.errors import ConnectFailed, MessageError
from rtlab.protocol.http_status_and_retry_after import REDIRECTS, UNFINISHED
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.message_format import fields_of
from rtlab.protocol.urls import Origin, Url

__all__ = ["Tokens"]

#: Seconds that a token lives if its issuer states no lifetime, or one that is not below the other limit.
DEFAULT_LIFETIME: Final = 60.0
MAX_LIFETIME: Final = 1e9

#: Statuses that turn a request away before a server uses its token: the redirects, which are not followed;
#: 408, 421, 425 and 429; a proxy's 407; 503 of a server that is full, starting or stopping; 511 (RFC 6585
#: §6) of a captive portal. With other 4xx, such as 403 or 410, an issuer may judge the token.
UNUSED: Final = REDIRECTS | UNFINISHED | {407, 503, 511}

#: The part of a token's lifetime that is left when it is renewed: drawn at random between these
#: two, so that clients that logged in together do not renew together.
EARLY: Final = (0.2, 0.4)


class Tokens:
    """The access and refresh token of a user, renewed before they expire.

    Several connections to the same origin may share one object, and with it one login. So may several
    calls of `asyncio.run`, one after the other.

    Parameters
    ----------
    user, password : str, optional
        The login for ``POST /api/auth/token``; None if tokens are given.
    access_token, refresh_token : str, optional
        Tokens of an earlier login.
    way : {"ticket", "header", "query"}
        How a WebSocket's opening handshake carries the proof. The default, a ticket, can be used
        once, within seconds. A header works too, but a browser's `WebSocket` cannot send it.
        ``"query"`` puts the token itself into the URL, and so into logs; it is insecure, and exists
        only to be attacked. All other requests use the header.
    ssl : ssl.SSLContext, optional
        The TLS settings for https; None uses the usual certificate authorities.
    clock : callable
        Returns monotonic seconds.
    rng : numpy.random.Generator, optional
        The source of jitter; None: a generator seeded by the operating system.

    Examples
    --------
    >>> Tokens("ada", "analytical engine")
    <Tokens of 'ada'>
    """

    def __init__(
        self,
        user: str | None = None,
        password: str | None = None,
        *,
        access_token: str | None = None,
        refresh_token: str | None = None,
        way: Literal["ticket", "header", "query"] = "ticket",
        ssl: ssl_module.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: np.random.Generator | None = None,
    ) -> None:
        if (user is None) != (password is None):
            raise ValueError("expected user and password, or neither")
        if user is None and access_token is None and refresh_token is None:
            raise ValueError("expected user and password, an access_token or a refresh_token")
        if way not in ("ticket", "header", "query"):
            raise ValueError(f"expected way to be 'ticket', 'header' or 'query', got {way!r:.40}")
        self._user = user
        self._password = password
        self._access = access_token
        self._refresh = refresh_token
        self._ends = self._renew_at = float("inf") if access_token is not None else 0.0
        self._way = way
        self._ssl = ssl
        self._clock = clock
        self._rng = rng if rng is not None else np.random.default_rng()
        if (left := _seconds_left(access_token)) is not None:
            self._lives(left, clock())
        self._home: Url | None = None
        self._turn = PerLoop(asyncio.Lock)

    def __repr__(self) -> str:
        return f"<Tokens of {self._user!r}>" if self._user is not None else "<Tokens>"

    @property
    def access_token(self) -> str | None:
        """The newest access token; None before the first."""
        return self._access

    @property
    def refresh_token(self) -> str | None:
        """The newest refresh token; None without any, and after it was used.

        If the answer to a renewal is lost, or does not say whether the token was used (most 4xx and 5xx), the
        token is kept only if there is no login: sending it twice may end the whole login.
        """
        return self._refresh

    @property
    def renew_in(self) -> float | None:
        """Seconds until the access token should be renewed; None if its end is unknown or it cannot be."""
        if self._renew_at == float("inf") or self._spent:
            return None
        return max(0.0, self._renew_at - self._clock())

    def _lives(self, seconds: float, since: float) -> None:
        """Record the access token's lifetime in seconds, as its issuer stated it, and when it began."""
        self._ends = since + seconds
        self._renew_at = since + seconds * (1 - float(self._rng.uniform(*EARLY)))

    def refused(self) -> bool:
        """Record that a server refused the access token; return whether it can be renewed.

        The clock alone cannot tell that a token has expired: a monotonic clock may stop while the machine
        sleeps, and an opaque token does not state its lifetime.
        """
        self._ends = self._renew_at = self._clock()
        return not self._spent

    @property
    def _spent(self) -> bool:
        """Whether there is neither a refresh token nor a login to get a new access token with."""
        return self._refresh is None and self._user is None

    def belong_to(self, origin: Origin | None) -> bool:
        """Whether the tokens are for this origin; False before the first connection, and for None."""
        return self._home is not None and origin == self._home.origin

    # Called by transports

    async def opening(self, url: Url) -> Proof:
        """Return the proof for a WebSocket's opening handshake.

        Raises
        ------
        ConnectFailed
            The server refuses, or `url` has a different origin than the tokens.
        """
        if self._way == "header":
            return await self.request(url)
        token = await self._current(url)
        if self._way == "query":
            return Proof({"token": token}, {})
        answer = await ask_for_tokens("ticket", self._at_home(url), {}, bearer=token, ssl=self._ssl)
        ticket = answer.get("ticket")
        if not isinstance(ticket, str):
            raise ConnectFailed("expected a ticket, got another answer", retryable=False)
        return Proof({"ticket": ticket}, {})

    async def request(self, url: Url) -> Proof:
        """Return the proof for any other request, a header; nothing for a different origin."""
        if self._home is not None and not self.belong_to(url.origin):
            return NOTHING
        return Proof({}, {"Authorization": f"Bearer {await self._current(url)}"})

    async def renew(self) -> str:
        """Replace the access token now; return the new one.

        Raises
        ------
        ConnectFailed
            Not retryable if the refresh token was used before, is revoked or unknown.
        """
        async with self._turn.here:
            return await self._renewed()

    async def fresh(self) -> str:
        """Return an access token that is not due for renewal; renew it unless another connection has.

        Raises
        ------
        ConnectFailed
            As for `renew`.
        """
        async with self._turn.here:
            if self._access is not None and self._clock() < self._renew_at:
                return self._access
            return await self._renewed()

    async def _current(self, url: Url) -> str:
        """Return an access token for a request to `url`; renew it only if it has expired."""
        self._at_home(url)
        async with self._turn.here:
            if self._access is not None and (self._clock() < self._ends or self._spent):
                return self._access  # if it has expired and cannot be renewed, the server will refuse it
            return await self._renewed()

    async def _renewed(self) -> str:
        home, asked = self._home, self._clock()
        if home is None:
            raise ConnectFailed("expected tokens that a connection has used: connect first", retryable=False)
        if self._refresh is not None:
            # A refresh token is sent once only, whatever the outcome, but for the exceptions below.
            spent, self._refresh = self._refresh, None
            body, sent = {"refreshToken": spent}, False

            def sending() -> None:
                nonlocal sent
                sent = True

            try:
                return self._keep(
                    await ask_for_tokens("refresh", home, body, ssl=self._ssl, sending=sending), asked
                )
            except asyncio.CancelledError:  # the connection ended, or its attempt took too long
                if sent:
                    self._restore(spent)
                else:
                    self._refresh = spent
                raise
            except ConnectFailed as error:
                page = error.status == 200 and error.retryable  # of a captive portal
                if not sent or page or error.status in UNUSED:
                    self._refresh = spent
                    raise
                if error.status != 401:
                    self._restore(spent)
                    raise
                if self._user is None or error.code != "bad_refresh_token":
                    raise
                # The refresh token has expired, or the server has restarted: log in again below.
        if self._user is None or self._password is None:
            raise ConnectFailed(
                "the access token has ended, and there is no refresh token: log in again", retryable=False
            )
        login = {"user": self._user, "password": self._password}
        return self._keep(await ask_for_tokens("token", home, login, ssl=self._ssl), asked)

    def _restore(self, spent: str) -> None:
        """After an answer was lost, or told of a fault, keep a refresh token only if there is no login.

        The token may have been used: a repeat is then answered with ``token_reused``, and the server
        revokes the whole family of tokens. A login instead is always safe.
        """
        if self._user is None:
            self._refresh = spent

    def _keep(self, answer: dict[str, Any], asked: float) -> str:
        """Store a pair of tokens; the lifetime counts from the request, so it never ends too late."""
        access, refresh, seconds = (answer.get(name) for name in ("accessToken", "refreshToken", "expiresIn"))
        if not isinstance(access, str) or not isinstance(refresh, str | None):
            raise ConnectFailed("expected accessToken and refreshToken, got another answer", retryable=False)
        self._access, self._refresh = access, refresh
        # A lifetime of 0 s would be renewed without a pause.
        usable = type(seconds) in (int, float) and 0 < cast("float", seconds) < MAX_LIFETIME
        self._lives(float(cast("float", seconds)) if usable else DEFAULT_LIFETIME, asked)
        return access

    def _at_home(self, url: Url) -> Url:
        """Return the server that the tokens are for: the first one that they were used with."""
        if self._home is None:
            self._home = url
        elif url.origin != self._home.origin:
            raise ConnectFailed(
                f"these tokens are for {_shown(self._home.origin)}, and do not go to {_shown(url.origin)}: "
                "log in there",
                retryable=False,
            )
        return self._home


def _seconds_left(token: str | None) -> float | None:
    """Return the seconds until a JWT's ``exp``, without checking its signature; None if it is no JWT."""
    if token is None or token.count(".") != 2:
        return None
    body = token.split(".")[1]
    try:
        ends = fields_of(parse_json(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))).get("exp")
    except (MessageError, ValueError):
        return None
    if type(ends) not in (int, float):  # `true` is a number to Python, not to JSON
        return None
    now = time.time()
    return min(max(cast("float", ends), now), now + MAX_LIFETIME) - now  # a number may have any size


def _shown(origin: Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://{host}:{port}"
