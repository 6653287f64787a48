"""The counters of a `MessageBatcher`."""

from __future__ import annotations

import math

import msgspec

__all__ = ["BatcherStats"]


class BatcherStats(msgspec.Struct, frozen=True):
    """A snapshot of a batcher.

    Parameters
    ----------
    collected, in_flight : int
        Messages that wait to be sent, and messages sent that have no answer yet.
    batches, messages : int
        Number of batches and messages sent so far.
    handled, refused, unknown : int
        Messages that the server handled or refused, and messages whose outcome is unknown.
    """

    collected: int
    in_flight: int
    batches: int
    messages: int
    handled: int
    refused: int
    unknown: int

    @property
    def messages_per_batch(self) -> float:
        """Mean size of the batches sent; nan before the first."""
        return self.messages / self.batches if self.batches else math.nan
