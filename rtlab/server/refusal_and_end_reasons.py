"""Why the server refuses a message (`Refused`), and why it ends a session (`Ended`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["AnswerPayload", "Ended", "Refused"]

#: Result of one message: ``{"ok": True, …}`` or ``{"ok": False, "error": …}``, and its ``id`` if any.
AnswerPayload = dict[str, Any]


class Ended(NamedTuple):
    """Why the server ended a session.

    Parameters
    ----------
    close_code : int
        A WebSocket close code, for transports that have close codes.
    code, text : str
        A stable word for programs, and an explanation for people.
    """

    close_code: int
    code: str
    text: str


class Refused(Exception):
    """The server refuses to handle a message.

    Parameters
    ----------
    code : str
        A stable word for programs.
    text : str
        What was expected, what the client sent, and what it should do.
    retry_after : float, optional
        Seconds after which the client may send the same message again.
    strikes : float
        Strikes that this refusal adds; a session with `MAX_STRIKES` of the ingress is ended.
    details : mapping, optional
        Further fields of the error's payload, for programs.
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
