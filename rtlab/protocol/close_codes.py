"""What each WebSocket close code means, and whether a client should reconnect after it."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = [
    "CLOSE_CODES",
    "CloseCode",
    "CloseCodeLabels",
    "check_close",
    "close_code",
    "cut_reason",
    "should_reconnect",
]

#: A control frame holds 125 bytes (RFC 6455 §5.5), and the code takes two.
MAX_REASON_BYTES: Final = 123


class CloseCode(msgspec.Struct, frozen=True):
    """What one WebSocket close code means (RFC 6455 §7.4, IANA registry).

    Parameters
    ----------
    code : int
        The close code.
    name : str
        The code's name in the registry.
    meaning : str
        The code's meaning in one sentence.
    reconnect : bool
        Whether a client should reconnect after this code.
    on_wire : bool
        Whether the code may be sent in a close frame. The other codes are only reported
        locally (RFC 6455 §7.4.1).
    """

    code: int
    name: str
    meaning: str
    reconnect: bool
    on_wire: bool = True


CLOSE_CODES: Final[dict[int, CloseCode]] = {
    entry.code: entry
    for entry in (
        CloseCode(1000, "Normal Closure", "Done, on purpose.", False),
        CloseCode(1001, "Going Away", "The server stops, or the page is left.", True),
        CloseCode(1002, "Protocol Error", "A frame broke the protocol.", False),
        CloseCode(1003, "Unsupported Data", "Binary where text was wanted, or the reverse.", False),
        CloseCode(1005, "No Status Received", "A close frame without a code.", True, on_wire=False),
        CloseCode(
            1006, "Abnormal Closure", "The connection was lost without a close frame.", True, on_wire=False
        ),
        CloseCode(1007, "Invalid Payload", "Text that is not UTF-8.", False),
        CloseCode(1008, "Policy Violation", "The server refuses this client's behaviour.", False),
        CloseCode(1009, "Message Too Big", "Over the server's size limit.", False),
        CloseCode(1010, "Mandatory Extension", "The server did not agree to an extension.", False),
        CloseCode(1011, "Internal Error", "The server hit a bug.", True),
        CloseCode(1012, "Service Restart", "Back soon: reconnect after a random delay.", True),
        CloseCode(1013, "Try Again Later", "Overloaded: reconnect after a longer delay.", True),
        CloseCode(1014, "Bad Gateway", "A gateway got no valid answer.", True),
        CloseCode(1015, "TLS Failure", "The TLS handshake failed.", False, on_wire=False),
    )
}


#: How many codes outside the registry get counters of their own.
_OWN_CODES: Final = 32


class CloseCodeLabels:
    """Names of counters by close code; their number is bounded, whatever codes clients send.

    A client may close with any of 2,000 private codes, and each counter is kept for ever.

    Examples
    --------
    >>> labels = CloseCodeLabels(1)
    >>> labels.of(1006), labels.of(3001), labels.of(3002), labels.of(3001)
    ('1006', '3001', 'other', '3001')
    """

    def __init__(self, own: int = _OWN_CODES) -> None:
        self._own = own
        self._seen: set[int] = set()

    def of(self, code: int) -> str:
        """Return a code's label: its number if registered or among the first others, else ``other``."""
        if code not in CLOSE_CODES and code not in self._seen:
            if len(self._seen) >= self._own:
                return "other"
            self._seen.add(code)
        return str(code)


def close_code(code: int) -> CloseCode:
    """Describe a close code, which may be from a private range.

    Parameters
    ----------
    code : int
        Any close code.

    Returns
    -------
    CloseCode
        In rtlab's own range, 4000–4499 mean *reconnect* and 4500–4999 *do not
        reconnect*; other unknown codes mean *do not reconnect*.

    Examples
    --------
    >>> close_code(4401).reconnect, close_code(4500).reconnect
    (True, False)
    """
    known = CLOSE_CODES.get(code)
    if known is not None:
        return known
    if 4000 <= code <= 4499:
        return CloseCode(code, "Application", "The application's own code: try again.", True)
    if 4500 <= code <= 4999:
        return CloseCode(code, "Application", "The application's own code: do not try again.", False)
    return CloseCode(code, "Unknown", "Not in the registry.", False, on_wire=3000 <= code <= 3999)


def check_close(code: int, reason: str = "") -> None:
    """Raise ValueError if a close frame cannot carry a code and a reason (RFC 6455 §5.5, §7.4).

    Parameters
    ----------
    code : int
        A code that may be sent.
    reason : str
        A reason of up to 123 bytes of UTF-8.

    Examples
    --------
    >>> check_close(1006)
    Traceback (most recent call last):
    ...
    ValueError: expected a close code that may be sent, such as 1000 or 4000, got 1006
    """
    if not close_code(code).on_wire:
        raise ValueError(f"expected a close code that may be sent, such as 1000 or 4000, got {code}")
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise ValueError(f"expected a reason of up to {MAX_REASON_BYTES} bytes, got {len(reason.encode())}")


def cut_reason(reason: str) -> bytes:
    """Return the part of a reason that fits a close frame, as UTF-8, without splitting a character.

    Examples
    --------
    >>> len(cut_reason("é" * 100))
    122
    """
    return reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore").encode()


def should_reconnect(code: int) -> bool:
    """Return whether a client should reconnect after this close code.

    Parameters
    ----------
    code : int
        The close code.

    Returns
    -------
    bool

    Examples
    --------
    >>> should_reconnect(1012), should_reconnect(1008)
    (True, False)
    """
    return close_code(code).reconnect
