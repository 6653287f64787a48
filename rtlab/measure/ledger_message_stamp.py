"""The stamp that identifies a message to the ledger."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MessageIdentity"]


class MessageIdentity(NamedTuple):
    """Identifies a message: its sender, and its number among that sender's messages, from 0."""

    sender: str
    number: int
