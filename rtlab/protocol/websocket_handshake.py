"""The answer to a WebSocket handshake's key: it proves that a server speaks WebSocket (RFC 6455 §1.3)."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

__all__ = ["accept_of"]

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that a server must answer to a key (RFC 6455 §4.2.2).

    Examples
    --------
    >>> accept_of("dGhlIHNhbXBsZSBub25jZQ==")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    return base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
