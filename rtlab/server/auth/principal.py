"""Who a request was made for, as its credentials proved; and what is said when they prove nothing."""

from __future__ import annotations

import msgspec

__all__ = ["BadCredentials", "Principal"]


class Principal(msgspec.Struct, frozen=True):
    """Somebody whose credentials were checked.

    Parameters
    ----------
    user : str
        The name.
    roles : tuple of str
        What `rtlab.server.auth.rights` goes by.
    family : str
        The login that the token goes back to; revoking it ends all tokens that came of it.
    expires_at : float
        When its token ends, seconds since 1970. The server honours it for a leeway longer.
    """

    user: str
    roles: tuple[str, ...]
    family: str
    expires_at: float


class BadCredentials(Exception):
    """Credentials that prove nothing.

    Parameters
    ----------
    code : str
        A stable word: ``"no_credentials"``, ``"bad_token"``, ``"token_expired"``, ``"bad_ticket"``,
        ``"bad_refresh_token"``, ``"token_reused"``, ``"revoked"`` or ``"bad_login"``.
    text : str
        What to do. It repeats nothing of what was sent.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
