"""Limits that both ends must agree on."""

from __future__ import annotations

from typing import Final

__all__ = ["BATCH_SLACK_BYTES", "MAX_BATCH", "MAX_DEPTH", "MAX_MESSAGE_BYTES", "NAME_CHARS", "SLACK_BYTES"]

#: The most bytes of an encoded message.
MAX_MESSAGE_BYTES: Final = 1 << 20

#: The most lists and objects that may be nested in each other in a payload.
MAX_DEPTH: Final = 64

#: Characters of the longest id, type or room name.
NAME_CHARS: Final = 128

#: The most messages in one batch or in one POST.
MAX_BATCH: Final = 1000

#: The most bytes that the server adds to a message (offset, epoch, clientId, an event's own lines). A
#: receiver accepts that much above its limit, so that a message of the full size reaches it.
SLACK_BYTES: Final = 4096

#: The most bytes of a batch besides its messages: the frame around them, and a comma for each.
BATCH_SLACK_BYTES: Final = 2048
