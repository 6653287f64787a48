"""Refresh tokens: each is used once and replaced; a second use revokes its login (RFC 9700 §4.14)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from rtlab.server.auth.principal import BadCredentials
from rtlab.server.auth.secret_hashes import hashed

__all__ = ["MAX_TOKENS", "Issued", "RefreshTokens"]

#: Tokens that are remembered, used ones included; a client whose token was forgotten must log in again.
MAX_TOKENS: Final = 50_000


class Issued(NamedTuple):
    """The user and login of a refresh token, and when it expires (seconds since 1970)."""

    user: str
    family: str
    expires_at: float


class RefreshTokens:
    """The refresh tokens of one server; only their hashes are kept.

    Parameters
    ----------
    ttl : float
        Lifetime of a token in seconds.
    clock : callable
        Seconds since 1970.
    rotating : bool
        False in the naive setting: whoever has a token may use it again until it expires.
    """

    def __init__(self, ttl: float, clock: Callable[[], float], *, rotating: bool = True) -> None:
        self._ttl = ttl
        self._clock = clock
        self._rotating = rotating
        self._tokens: OrderedDict[str, Issued] = OrderedDict()
        self._used: set[str] = set()
        self._revoked: OrderedDict[str, float] = OrderedDict()

    def start(self, user: str) -> tuple[str, str]:
        """Begin a family (the tokens of one login); return its name, and its first token."""
        family = secrets.token_urlsafe(9)
        return family, self._issue(user, family)

    def use(self, token: str) -> tuple[Issued, str]:
        """Exchange a token; return its user and login, and the token that replaces it.

        Raises
        ------
        BadCredentials
            ``token_reused`` if the token was exchanged before. Its family is then revoked, because one
            of the two clients has stolen it, and the server cannot tell which.
            ``revoked``, or ``bad_refresh_token`` for a token that is unknown or expired.
        """
        name = hashed(token)
        issued = self._tokens.get(name)
        if issued is None or self._clock() >= issued.expires_at:
            raise BadCredentials("bad_refresh_token", "expected a refresh token of this server: log in")
        if self.is_revoked(issued.family):
            raise BadCredentials("revoked", "this login was revoked: log in again")
        if not self._rotating:
            return issued, token
        if name in self._used:
            self.revoke(issued.family)
            raise BadCredentials(
                "token_reused", "this refresh token was used before: the login is revoked, log in again"
            )
        self._used.add(name)
        return issued, self._issue(issued.user, issued.family)

    def revoke(self, family: str) -> None:
        """End every token of a login."""
        self._revoked[family] = self._clock() + self._ttl
        while len(self._revoked) > MAX_TOKENS:
            self._revoked.popitem(last=False)

    def revoke_user(self, user: str) -> int:
        """End every login of a user; return how many there were."""
        families = {issued.family for issued in self._tokens.values() if issued.user == user}
        for family in families:
            self.revoke(family)
        return len(families)

    def is_revoked(self, family: str) -> bool:
        """Whether a login was ended."""
        return family in self._revoked

    def _issue(self, user: str, family: str) -> str:
        token = secrets.token_urlsafe(32)
        self._tokens[hashed(token)] = Issued(user, family, self._clock() + self._ttl)
        while len(self._tokens) > MAX_TOKENS:
            oldest, _ = self._tokens.popitem(last=False)
            self._used.discard(oldest)
        return token
