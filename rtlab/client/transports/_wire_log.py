"""The debug log of the `websockets` library, without secrets."""

from __future__ import annotations

import logging
from typing import Final

from websockets.frames import DATA_OPCODES, Frame

from rtlab.protocol.redaction import redacted

__all__ = ["WIRE_LOG"]

#: Header fields whose values are logged; any other field, such as ``X-Api-Key``, may be a credential.
_HARMLESS: Final = frozenset(
    {"accept-encoding", "accept-language", "alt-svc", "cache-control", "connection", "content-encoding"}
    | {"content-length", "content-type", "date", "host", "keep-alive", "location", "origin", "pragma"}
    | {"retry-after", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key"}
    | {"sec-websocket-protocol", "sec-websocket-version", "server", "transfer-encoding", "upgrade"}
    | {"user-agent", "vary", "via"}
)


def _redact(record: logging.LogRecord) -> bool:
    """Mask secrets: the library logs whole request lines, header fields and the ends of frames."""
    args = record.args
    if record.msg in ("> %s: %s", "< %s: %s") and isinstance(args, tuple) and len(args) == 2:
        if str(args[0]).lower() not in _HARMLESS:
            record.args = (args[0], "***")
    elif isinstance(args, tuple):
        record.args = tuple(_without_data(arg) for arg in args)
    record.msg, record.args = redacted(record.getMessage()), ()
    return True


def _without_data(arg: object) -> object:
    """Return a message's frame without its data: the token of an ``auth`` message is in it, perhaps cut."""
    if isinstance(arg, Frame) and arg.opcode in DATA_OPCODES:
        return f"{arg.opcode.name} [{len(arg.data)} bytes{'' if arg.fin else ', continued'}]"
    return arg


WIRE_LOG: Final = logging.getLogger("rtlab.client.transports.websocket_transport.wire")
WIRE_LOG.addFilter(_redact)
