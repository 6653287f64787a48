"""Limits that both ends must agree on."""

from __future__ import annotations

from typing import Final

__all__ = ["BATCH_SLACK_BYTES", "MAX_BATCH", "SLACK_BYTES"]

#: Messages of one batch, or of one POST.
MAX_BATCH: Final = 1000

#: What the server adds to a message (offset, epoch, clientId, an event's own lines) may pass the
#: limit of messages by this much: a message of the full size must still reach every receiver.
SLACK_BYTES: Final = 4096

#: Bytes of a batch beside its messages: the frame around them, and a comma for each.
BATCH_SLACK_BYTES: Final = 2048
