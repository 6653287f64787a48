"""Authentication: decides who sent a request, by login, refresh token, ticket or access token."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Literal

import msgspec

from rtlab.policies.token_bucket import TokenBucket
from rtlab.server.auth.access_token_signing_and_checks import LEEWAY, AccessTokens
from rtlab.server.auth.principal import BadCredentials, Principal
from rtlab.server.auth.refresh_tokens import RefreshTokens
from rtlab.server.auth.short_lived_url_tickets import Tickets
from rtlab.server.auth.users import DEMO_USERS, Users

__all__ = ["Authority", "Pair"]


class Pair(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to a login or a refresh.

    Parameters
    ----------
    access_token, refresh_token : str
        The two tokens.
    expires_in : float
        Seconds that the access token lives.
    """

    access_token: str
    refresh_token: str
    expires_in: float

    def __repr__(self) -> str:
        return "Pair(…)"


class Authority:
    """Everything that proves who a client is.

    Parameters
    ----------
    secret : str
        What signing keys are derived from.
    setting : {"naive", "right"}
        Naive checks too little, as first versions often do.
    access_ttl, refresh_ttl, ticket_ttl : float
        Lifetimes in seconds.
    clock : callable
        Seconds since 1970.

    Attributes
    ----------
    access, refresh_tokens, tickets, users
        The access tokens, the refresh tokens, the tickets and the users.
    """

    def __init__(
        self,
        secret: str,
        setting: Literal["naive", "right"] = "right",
        *,
        access_ttl: float = 300.0,
        refresh_ttl: float = 86_400.0,
        ticket_ttl: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.strict = setting == "right"
        self.access = AccessTokens(secret, access_ttl, clock, trusting=not self.strict)
        self.refresh_tokens = RefreshTokens(refresh_ttl, clock, rotating=self.strict)
        self.tickets = Tickets(ticket_ttl, clock, once=self.strict)
        self.users = Users()
        self.clock = clock
        # Limits attempts to log in per user name, whoever makes them, so that guessing a password is slow.
        self._guesses = TokenBucket(rate=1.0, burst=20.0)
        self._guessed = {name: self._guesses.start(clock()) for name in (*DEMO_USERS, "")}

    def may_guess(self, user: str) -> float:
        """Count an attempt to log in; return 0 if it is allowed, else the seconds to wait."""
        name = user if user in self._guessed else ""
        bucket = self._guessed[name]
        self._guessed[name], allowed = self._guesses.take(bucket, self.clock())
        return 0.0 if allowed else self._guesses.wait(bucket, self.clock())

    def log_in(self, user: str, password: str) -> Pair:
        """Return fresh tokens; raises `BadCredentials`. It takes some milliseconds of CPU, on purpose."""
        self.users.check(user, password)
        family, refresh = self.refresh_tokens.start(user)
        return self._pair(user, family, refresh)

    def refresh(self, token: str) -> Pair:
        """Exchange a refresh token; raises `BadCredentials`."""
        issued, successor = self.refresh_tokens.use(token)
        return self._pair(issued.user, issued.family, successor)

    def check(self, token: str) -> Principal:
        """Return the principal that an access token proves; raises `BadCredentials`."""
        principal = self.access.check(token)
        if self.refresh_tokens.is_revoked(principal.family):
            raise BadCredentials("revoked", "this login was revoked: log in again")
        return principal

    def identify(
        self, headers: Mapping[str, str], query: Mapping[str, str], address: str | None
    ) -> Principal:
        """Return a request's principal: by its ``Authorization`` header, else by the ticket in its URL.

        The naive setting also takes the token itself from the URL, and from a cookie.

        Raises
        ------
        BadCredentials
        """
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.check(token.strip())
        ticket = query.get("ticket")
        if ticket is not None:
            principal = self.tickets.redeem(ticket, address)
            if self.refresh_tokens.is_revoked(principal.family):
                raise BadCredentials("revoked", "this login was revoked: log in again")
            return principal
        if not self.strict and "token" in query:
            return self.check(query["token"])
        if not self.strict and (cookie := _cookie(headers.get("Cookie", ""))) is not None:
            return self.check(cookie)
        raise BadCredentials(
            "no_credentials", "expected Authorization: Bearer, or a ticket in the URL: POST /api/auth/token"
        )

    def looked_up(self, principal: Principal) -> Principal:
        """Return a principal with its user's present roles; raises `BadCredentials` if the user is gone."""
        roles = self.users.roles(principal.user)
        if not roles:
            raise BadCredentials("revoked", "this user is known no more")
        return msgspec.structs.replace(principal, roles=roles)

    def state_of(self, principal: Principal) -> str | None:
        """Return why a principal is no longer valid: ``"revoked"`` or ``"token_expired"``; None if it is."""
        if self.refresh_tokens.is_revoked(principal.family):
            return "revoked"
        ended = self.strict and self.clock() >= principal.expires_at + LEEWAY
        return "token_expired" if ended else None

    def _pair(self, user: str, family: str, refresh: str) -> Pair:
        access = self.access.issue(user, self.users.roles(user), family)
        return Pair(access, refresh, self.access.ttl)


def _cookie(field: str) -> str | None:
    """Return the token in a request's cookies, which a browser adds whichever page made the request."""
    try:
        found = SimpleCookie(field).get("token")
    except CookieError:
        return None
    return None if found is None else found.value
