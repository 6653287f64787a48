"""Every error that rtlab raises on purpose.

Each message says what was expected, what came instead, and what to do next.
"""

from __future__ import annotations

__all__ = [
    "ConnectFailed",
    "ConnectionLost",
    "InvalidState",
    "LabError",
    "MachineBusy",
    "MessageError",
    "MessageTooLarge",
    "NoSeries",
    "NotConnected",
    "QueueError",
    "QueueFull",
    "RequestRefused",
    "RtlabError",
    "StateBehind",
    "TransportClosed",
    "describe",
]


def describe(error: BaseException, max_chars: int = 200) -> str:
    """Return an exception's repr; its class alone when the repr itself raises.

    Parameters
    ----------
    error : BaseException
        Anybody's: a handler's, say.
    max_chars : int
        The rest is cut off.

    Returns
    -------
    str

    Examples
    --------
    >>> describe(ValueError("no"))
    "ValueError('no')"
    """
    try:
        return repr(error)[:max_chars]
    except Exception:
        return f"{type(error).__name__} (its repr raises)"


class RtlabError(Exception):
    """Base class of every error that rtlab raises on purpose."""


class MessageError(RtlabError):
    """A frame or a payload that is not a valid message.

    Parameters
    ----------
    reason : str
        One sentence for people.
    code : str
        A stable word for programs: ``"malformed"``, ``"not_an_object"``,
        ``"wrong_type"``, ``"too_deep"``, ``"too_large"`` or ``"payload"``.
    """

    def __init__(self, reason: str, code: str = "malformed") -> None:
        super().__init__(reason)
        self.code = code


class MessageTooLarge(MessageError):
    """A message over the limit of the codec or of the server.

    Parameters
    ----------
    size_bytes, limit_bytes : int
        The encoded size and the limit that it exceeds.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the message takes {size_bytes:,} bytes, over the limit of {limit_bytes:,}: "
            "split it, or send it over HTTP and pass a reference",
            "too_large",
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class NotConnected(RtlabError):
    """`send` was called while no connection was open."""


class InvalidState(RtlabError):
    """A call that the connection's present state does not allow.

    Parameters
    ----------
    expected : str
        The state or states in which the call makes sense.
    got : str
        The state it was made in.
    hint : str
        What to do next.
    """

    def __init__(self, expected: str, got: str, hint: str) -> None:
        super().__init__(f"expected {expected}, got {got}: {hint}")


class StateBehind(RtlabError):
    """A state that was read is older than the place in the room from which its changes are followed."""


class TransportClosed(RtlabError):
    """A transport's stream of messages has ended.

    Parameters
    ----------
    code : int
        A WebSocket close code; transports without one use the nearest
        (1006 for a lost connection, 1000 for an orderly end).
    reason : str
        What the peer said, or what happened.
    clean : bool
        Whether the closing handshake completed. It says nothing about
        delivery, nor whether to reconnect: the code does.
    reconnect : bool or None
        Overrides what the code says about reconnecting.
    retry_after : float or None
        Seconds that the server asked for before the next attempt.
    reconnection_time : float or None
        Seconds of an event stream's ``retry:`` field, in place of the client's own delay.
    """

    def __init__(
        self,
        code: int = 1006,
        reason: str = "",
        *,
        clean: bool = False,
        reconnect: bool | None = None,
        retry_after: float | None = None,
        reconnection_time: float | None = None,
    ) -> None:
        super().__init__(f"closed with {code}{f' ({reason})' if reason else ''}")
        self.code = code
        self.reason = reason
        self.clean = clean
        self.reconnect = reconnect
        self.retry_after = retry_after
        self.reconnection_time = reconnection_time


class ConnectFailed(RtlabError):
    """A connection could not be opened.

    Parameters
    ----------
    reason : str
        The cause in one sentence, with the next step.
    retryable : bool
        Whether another attempt makes sense (a refused port: yes; 401: no).
    status : int or None
        The HTTP status of the answer, if there was one.
    retry_after : float or None
        Seconds that the server asked for before the next attempt.
    attempts : int
        How many attempts were made; 0 when a circuit breaker let none out.
    code : str
        The server's stable word, if it gave one.

    Notes
    -----
    The exception that caused it is in ``__cause__``.
    """

    def __init__(
        self,
        reason: str,
        *,
        retryable: bool = True,
        status: int | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
        code: str = "",
    ) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after
        self.attempts = attempts
        self.code = code


class ConnectionLost(RtlabError):
    """An open connection ended, and will not be reconnected."""


class LabError(RtlabError):
    """The lab could not start, or one of its children died."""


class MachineBusy(LabError):
    """A measurement that is worth nothing, because the machine did something else meanwhile."""


class NoSeries(RtlabError, KeyError):
    """A recorder was asked for a series that nothing was recorded in."""

    __str__ = Exception.__str__  # a KeyError shows a repr


class RequestRefused(RtlabError):
    """The server answered a request with an ``error`` message.

    Parameters
    ----------
    message : str
        The server's sentence.
    code : str
        The server's stable word.
    retry_after : float or None
        Seconds after which the server may obey the same request.
    """

    def __init__(self, message: str, code: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class QueueError(RtlabError):
    """A queue of messages could not be opened, read or written; nothing that it holds is lost."""


class QueueFull(QueueError):
    """A queue has no place for a message, or dropped one to make place."""
