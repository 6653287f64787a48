"""Tells whether two processes share a monotonic clock: they do within one boot of one machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["boot_id"]


def boot_id() -> str | None:
    """Return an identifier that is equal in two processes if they share a monotonic clock.

    Returns
    -------
    str or None
        16 hexadecimal digits, a hash of the kernel's boot id; None where the system has none.
    """
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return None
    return hashlib.sha256(text.strip()).hexdigest()[:16]
