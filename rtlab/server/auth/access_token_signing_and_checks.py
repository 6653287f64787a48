"""Access tokens: signed, short-lived JWTs (RFC 7519), checked as RFC 8725 asks."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable
from typing import Any, Final, cast

import jwt

from rtlab.server.auth.principal import BadCredentials, Principal

__all__ = ["LEEWAY", "AccessTokens"]

#: Seconds by which two clocks may differ: a token is valid this much earlier and this much longer.
LEEWAY: Final = 1.0

#: The only algorithm; the ``alg`` in a token's header does not choose another (RFC 8725 §3.1).
ALGORITHM: Final = "HS256"

AUDIENCE: Final = "rtlab"
ISSUER: Final = "rtlab-lab"
MAX_TOKEN_CHARS: Final = 4096

_REQUIRED: Final = ["exp", "nbf", "iat", "jti", "aud", "iss", "sub"]


class AccessTokens:
    """Issues and checks access tokens.

    Parameters
    ----------
    secret : str
        Signing keys are derived from it, so that the nodes of one lab accept each other's tokens.
    ttl : float
        Seconds that a token lives.
    clock : callable
        Seconds since 1970.
    trusting : bool
        True in the naive setting, so that attacks succeed: a token may name the algorithm ``none``,
        and neither its audience nor its expiry is checked.
    """

    def __init__(
        self, secret: str, ttl: float, clock: Callable[[], float], *, trusting: bool = False
    ) -> None:
        self.ttl = ttl
        self._secret = secret.encode()
        self._clock = clock
        self._trusting = trusting
        self._newest = 1
        # Number of a retired key → when the last token that it signed expires.
        self._retired: dict[int, float] = {}

    def rotate(self) -> str:
        """Sign with a fresh key from now on; tokens of the former key stay valid until they expire."""
        self._retired[self._newest] = self._clock() + self.ttl + LEEWAY
        self._newest += 1
        return f"k{self._newest}"

    def issue(self, user: str, roles: tuple[str, ...], family: str) -> str:
        """Return a token for a user."""
        now = self._clock()
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": user, "roles": list(roles), "fam": family,
            "iat": now, "nbf": now, "exp": now + self.ttl, "jti": secrets.token_urlsafe(9),
        }  # fmt: skip
        return jwt.encode(claims, self._key(self._newest), ALGORITHM, headers={"kid": f"k{self._newest}"})

    def check(self, token: str) -> Principal:
        """Return the principal that a token proves.

        Raises
        ------
        BadCredentials
            ``token_expired``, or ``bad_token`` for every other fault, so that forgers learn nothing.
        """
        try:
            if len(token) > MAX_TOKEN_CHARS:
                raise jwt.InvalidTokenError("too long")
            claims = self._believed(token) if self._trusting else self._verified(token)
            return Principal(
                str(claims["sub"]),
                tuple(map(str, claims.get("roles", ()))),
                str(claims.get("fam", "")),
                float(claims["exp"]),
            )
        except jwt.ExpiredSignatureError:
            raise BadCredentials("token_expired", "the access token has expired: refresh it") from None
        except (jwt.PyJWTError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
            raise BadCredentials("bad_token", "expected an access token of this server: log in") from None

    def _verified(self, token: str) -> dict[str, Any]:
        number = self._number(jwt.get_unverified_header(token).get("kid"))
        claims = jwt.decode(
            token,
            self._key(number),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            # PyJWT reads the system's clock; the times are checked below, by `clock`.
            options={"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        now = self._clock()
        if not all(math.isfinite(float(claims[name])) for name in ("exp", "nbf", "iat")):
            raise jwt.InvalidTokenError("endless")
        if now >= float(claims["exp"]) + LEEWAY:
            raise jwt.ExpiredSignatureError
        if now < max(float(claims["nbf"]), float(claims["iat"])) - LEEWAY:
            raise jwt.ImmatureSignatureError
        return claims

    def _believed(self, token: str) -> dict[str, Any]:
        unverified = jwt.get_unverified_header(token).get("alg") == "none"
        unread = dict.fromkeys(("verify_aud", "verify_exp", "verify_nbf", "verify_iat"), False)
        options: Any = {"verify_signature": not unverified, **unread}
        key = self._key(1 if unverified else self._number(jwt.get_unverified_header(token).get("kid")))
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], options=options)
        return {"exp": self._clock() + self.ttl, **claims}

    def _number(self, kid: object) -> int:
        """Return the number in a ``kid``; it names a key of this server, and is never used to fetch one."""
        name = cast("str", kid)
        if not isinstance(kid, str) or not name[1:].isascii() or not name[1:].isdigit() or len(name) > 8:
            raise jwt.InvalidKeyError
        number = int(name[1:])
        if name != f"k{number}" or number > self._newest or number < 1:
            raise jwt.InvalidKeyError
        if number < self._newest and self._clock() > self._retired.get(number, 0.0):
            raise jwt.InvalidKeyError
        return number

    def _key(self, number: int) -> bytes:
        return hmac.new(self._secret, b"rtlab access tokens, key %d" % number, hashlib.sha256).digest()
