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
    """Return an exception's repr, or the name of its class if the repr itself raises.

    Parameters
    ----------
    error : BaseException
        Any exception; one that a user's handler raised, for example.
    max_chars : int
        The longest text to return, in characters; the rest is cut off.

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
        A machine-readable error code, such as ``"malformed"``, ``"not_an_object"``, ``"wrong_type"``,
        ``"too_deep"``, ``"too_large"``, ``"payload"``, ``"schema"`` or ``"duplicate_key"``.
    retry_after : float or None
        Seconds after which the same message may be sent; None if it is refused for good.
    """

    def __init__(self, reason: str, code: str = "malformed", *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.retry_after = retry_after


class MessageTooLarge(MessageError):
    """A message exceeds the size limit of the codec or of the server.

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
    """No connection was open for a call, or it ended before the call was complete."""


class InvalidState(RtlabError):
    """A call that the connection's present state does not allow.

    Parameters
    ----------
    expected : str
        The state or states in which the call is allowed.
    got : str
        The state in which the call was made.
    hint : str
        What to do next.
    """

    def __init__(self, expected: str, got: str, hint: str) -> None:
        super().__init__(f"expected {expected}, got {got}: {hint}")


class StateBehind(RtlabError):
    """A snapshot of a state is older than the room offset from which its changes are followed."""


class TransportClosed(RtlabError):
    """A transport's stream of messages has ended.

    Parameters
    ----------
    code : int
        A WebSocket close code (RFC 6455 §7.4). Transports that have no close codes use the
        nearest one: 1006 for a lost connection, 1000 for an orderly end.
    reason : str
        What the peer said, or what happened.
    clean : bool
        Whether the closing handshake completed. This flag says nothing about delivery.
        Whether to reconnect follows from the close code, not from this flag.
    reconnect : bool or None
        Whether to reconnect, whatever the close code says; None leaves it to the close code.
    retry_after : float or None
        Seconds that the server asked the client to wait before its next attempt; None without a hint.
    reconnection_time : float or None
        Seconds from an event stream's ``retry:`` field, which replace the client's own delay;
        None without such a field.
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
        Seconds that the server asked the client to wait before its next attempt; None without a hint.
    attempts : int
        How many attempts were made; 0 when a circuit breaker allowed none.
    code : str
        The server's machine-readable error code; empty if it gave none.

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
    """A measurement is invalid because other work kept the machine busy while it ran."""


class NoSeries(RtlabError, KeyError):
    """A recorder was asked for a series that has no recorded value."""

    __str__ = Exception.__str__  # KeyError.__str__ would show the repr of the message


class RequestRefused(RtlabError):
    """The server answered a request with an ``error`` message.

    Parameters
    ----------
    message : str
        The server's explanation, for people.
    code : str
        The server's machine-readable error code; empty if it gave none.
    retry_after : float or None
        Seconds after which the server may accept the same request; None without a hint.
    """

    def __init__(self, message: str, code: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class QueueError(RtlabError):
    """A queue of messages could not be opened, read or written; nothing that it holds is lost."""


class QueueFull(QueueError):
    """A queue has no room for a message, or dropped an older message to make room."""
