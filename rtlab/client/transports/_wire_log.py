"""The `websockets` library's log of the wire, which is for debugging, without what is secret in it."""

from __future__ import annotations

import logging
from typing import Final

from rtlab.protocol.urls import redacted

__all__ = ["WIRE_LOG"]


def _redact(record: logging.LogRecord) -> bool:
    """Mask what is secret: the library logs whole request lines and header fields."""
    record.msg, record.args = redacted(record.getMessage()), ()
    return True


WIRE_LOG: Final = logging.getLogger("rtlab.client.transports.websocket.wire")
WIRE_LOG.addFilter(_redact)
