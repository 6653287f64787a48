"""Who an outbox is, as its messages tell the server: its numbering, and the process that sends from it."""

from __future__ import annotations

import msgspec

__all__ = ["OutboxIdentity"]


class OutboxIdentity(msgspec.Struct):
    """The identity of an outbox, as its ``outbox`` message tells the server (see the protocol).

    Parameters
    ----------
    stream, history : str
        The outbox's name, and the name of its numbering; a new history starts the numbers anew.
    token : str
        A random token of the process that sends from the outbox.
    after : int
        The newest incarnation (opening by one process) that the outbox's file knows; 0 for none.
    incarnation : int or None
        The number that the server gave this process; None before its first opening.
    """

    stream: str
    history: str
    token: str
    after: int = 0
    incarnation: int | None = None
