"""What identifies a message to the ledger."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Stamp"]


class Stamp(NamedTuple):
    """What identifies a message: who sent it, and its number among his, from 0."""

    sender: str
    number: int
