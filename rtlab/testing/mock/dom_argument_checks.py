"""What a page's WebSocket refuses (URLs, subprotocols, close codes), and its states (WHATWG WebSockets)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from rtlab.errors import RtlabError
from rtlab.protocol.close_codes import MAX_REASON_BYTES
from rtlab.protocol.urls import shown

__all__ = [
    "EVENTS",
    "DOMError",
    "DomEvent",
    "EventListener",
    "ReadyState",
    "check_page_close",
    "check_protocols",
    "checked_url",
]

EVENTS: Final = ("open", "message", "error", "close")
_SEPARATORS: Final = frozenset('()<>@,;:\\"/[]?={} \t')


class ReadyState(enum.IntEnum):
    """A browser's ``readyState``."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class DOMError(RtlabError):
    """The exception that a browser would throw; `name` is that of the ``DOMException``.

    Parameters
    ----------
    name : str
        ``"SyntaxError"``, ``"InvalidStateError"`` or ``"InvalidAccessError"``.
    text : str
        The explanation, for people.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class DomEvent(NamedTuple):
    """The event that a listener is called with.

    Parameters
    ----------
    type : str
        ``"open"``, ``"message"``, ``"error"`` or ``"close"``.
    data : str or bytes
        The data of a message event; empty in others.
    code, reason, was_clean : int, str, bool
        Set in a close event only.
    """

    type: str
    data: str | bytes = ""
    code: int = 0
    reason: str = ""
    was_clean: bool = False


EventListener = Callable[[DomEvent], object]


def check_page_close(code: int | None, reason: str) -> None:
    """Raise `DOMError` unless a page may pass this code and reason to ``close()``."""
    if code is not None and code != 1000 and not 3000 <= code <= 4999:
        raise DOMError("InvalidAccessError", f"the close code must be 1000, or 3000 to 4999, got {code}")
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise DOMError("SyntaxError", f"the reason takes more than {MAX_REASON_BYTES} bytes")


@lru_cache
def checked_url(url: str) -> str:
    """Return a URL with ``ws:`` or ``wss:``; raise `DOMError` for one that a browser refuses."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text may contain a part of a password
        raise DOMError("SyntaxError", f"the URL {shown(url)} is invalid") from None
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise DOMError("SyntaxError", f"expected a URL such as ws://mock.test/ws, got {shown(url)}")
    if "#" in url:  # an empty fragment is one, too
        raise DOMError("SyntaxError", f"the URL {shown(url)} has a fragment")
    return f"{parts.scheme.replace('http', 'ws')}:{url.partition(':')[2]}"


@lru_cache
def check_protocols(protocols: tuple[str, ...]) -> None:
    """Raise `DOMError` for subprotocols that a browser refuses."""
    if len(set(protocols)) != len(protocols):
        raise DOMError("SyntaxError", f"a subprotocol stands twice in {list(protocols)}")
    for name in protocols:
        if not name or not all("!" <= c <= "~" and c not in _SEPARATORS for c in name):
            raise DOMError("SyntaxError", f"{name!r} cannot name a subprotocol")
