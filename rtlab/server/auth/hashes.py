"""How secrets are kept: as what they can be compared with, and not read from."""

from __future__ import annotations

import hashlib

__all__ = ["hashed", "password_hash"]


def hashed(secret: str) -> str:
    """Return what is stored of a token or ticket. They have 256 bits of chance: a plain hash is enough."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def password_hash(password: str, salt: bytes) -> bytes:
    """Return what is stored of a password, which people chose: slow and salted (RFC 7914)."""
    return hashlib.scrypt(password.encode(errors="replace"), salt=salt, n=1 << 12, r=8, p=1)
