"""The authenticated user of a request, and the error for credentials that are not accepted."""

from __future__ import annotations

import msgspec

__all__ = ["BadCredentials", "Principal"]


class Principal(msgspec.Struct, frozen=True):
    """A user whose credentials were checked.

    Parameters
    ----------
    user : str
        The user's name.
    roles : tuple of str
        The user's roles, which decide what `rtlab.server.auth.role_permissions` allows.
    family : str
        The login from which the token descends; revoking it ends all tokens of that login.
    expires_at : float
        When the token expires, in seconds since 1970. The server adds `LEEWAY` seconds.
    """

    user: str
    roles: tuple[str, ...]
    family: str
    expires_at: float


class BadCredentials(Exception):
    """Credentials that are not accepted.

    Parameters
    ----------
    code : str
        A stable word: ``"no_credentials"``, ``"bad_token"``, ``"token_expired"``, ``"bad_ticket"``,
        ``"bad_refresh_token"``, ``"token_reused"``, ``"revoked"`` or ``"bad_login"``.
    text : str
        What the client should do. It repeats nothing of what the client sent.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
