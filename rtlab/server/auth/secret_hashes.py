"""Hashes in place of secrets: a secret can be compared with its hash, and not be read from it."""

from __future__ import annotations

import hashlib

__all__ = ["hashed", "password_hash"]


def hashed(secret: str) -> str:
    """Return a token's or ticket's hash for storage; unsalted, because these are long and random."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def password_hash(password: str, salt: bytes) -> bytes:
    """Return a password's hash for storage: slow and salted (RFC 7914), because people choose passwords."""
    return hashlib.scrypt(password.encode(errors="replace"), salt=salt, n=1 << 12, r=8, p=1)
