"""The lab's users: three people with three roles, and public passwords."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from rtlab.server.auth.principal import BadCredentials
from rtlab.server.auth.secret_hashes import password_hash

__all__ = ["DEMO_USERS", "Users"]

#: Name → password and role. They give access to a lab on this machine, and to nothing else.
DEMO_USERS: Final = {
    "ada": ("analytical engine", "staff"),
    "bob": ("builder", "member"),
    "eve": ("eavesdropper", "guest"),
}


class Users:
    """The users who may log in; only salted hashes of their passwords are kept."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, bytes, tuple[str, ...]]] = {}
        for name, (password, role) in DEMO_USERS.items():
            salt = secrets.token_bytes(16)
            self._known[name] = (salt, password_hash(password, salt), (role,))
        self._nobody = (secrets.token_bytes(16), b"", ())

    def roles(self, user: str) -> tuple[str, ...]:
        """Return a user's roles; an unknown user has none."""
        return self._known.get(user, self._nobody)[2]

    def change(self, user: str, roles: tuple[str, ...]) -> None:
        """Give a user other roles; without roles, the user is removed.

        Raises
        ------
        LookupError
            For an unknown user.
        """
        salt, expected, _ = self._known[user]
        if roles:
            self._known[user] = (salt, expected, roles)
        else:
            del self._known[user]

    def check(self, user: str, password: str) -> None:
        """Raise `BadCredentials` for a wrong password; for an unknown user, too, and as slowly."""
        salt, expected, _ = self._known.get(user, self._nobody)
        if not hmac.compare_digest(password_hash(password, salt), expected):
            raise BadCredentials("bad_login", "the user's name or the password is wrong")
