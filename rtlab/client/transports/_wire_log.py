"""The debug log of the `websockets` library, with secrets masked."""

from __future__ import annotations

import logging
from typing import Final

from rtlab.protocol.urls import redacted

__all__ = ["WIRE_LOG"]


def _redact(record: logging.LogRecord) -> bool:
    """Mask secrets: the library logs whole request lines and header fields."""
    record.msg, record.args = redacted(record.getMessage()), ()
    return True


WIRE_LOG: Final = logging.getLogger("rtlab.client.transports.websocket.wire")
WIRE_LOG.addFilter(_redact)
