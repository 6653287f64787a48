"""What the server says no to: a message that it does not obey, a session that it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Ended", "Refused", "Result"]

#: What became of one message: ``{"ok": True, …}`` or ``{"ok": False, "error": …}``, and its ``id`` if any.
Result = dict[str, Any]


class Ended(NamedTuple):
    """Why the server ended a session.

    Parameters
    ----------
    close_code : int
        For transports that have them.
    code, text : str
        For programs, and for people.
    """

    close_code: int
    code: str
    text: str


class Refused(Exception):
    """A message that was read, and cannot be obeyed.

    Parameters
    ----------
    code : str
        A stable word for programs.
    text : str
        What was expected, what came, what to do.
    retry_after : float, optional
        Seconds after which the same message may be welcome.
    strikes : float
        How much of this a session survives: at `rtlab.server.ingress.MAX_STRIKES` it ends.
    details : mapping, optional
        What else the error's payload says, for programs.
    """

    def __init__(
        self,
        code: str,
        text: str,
        *,
        retry_after: float | None = None,
        strikes: float = 0.0,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.retry_after = retry_after
        self.strikes = strikes
        self.details = details
