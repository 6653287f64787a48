"""A batching window that reports how each batch left: the package's own `SizeOrTimeout`, observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rtlab.policies.size_or_time_batching_windows import Batch, SizeOrTimeout

__all__ = ["ObservedBatchWindow"]


@dataclass(frozen=True, kw_only=True)
class ObservedBatchWindow(SizeOrTimeout):
    """`SizeOrTimeout`, which calls ``left(messages, delay, late)`` as each batch leaves.

    Parameters
    ----------
    left : callable
        Gets the number of messages, their mean wait in seconds, and by how many seconds the batch
        left after it was due; None for a batch that was full, or flushed early.

    Examples
    --------
    >>> window = ObservedBatchWindow(batch_size=2, flush_interval=0.1, left=lambda *seen: print(*seen))
    >>> alone = window.add(window.start(), 64, now=1.0)
    >>> _ = window.leave(alone, now=1.125)
    1 0.125 0.02499999999999991
    """

    left: Callable[[int, float, float | None], object] = field(compare=False, repr=False)

    def leave(self, batch: Batch, now: float) -> Batch:
        """Call ``left``, and return the next batch, which is empty."""
        timed = now >= batch.due and batch.messages < self.batch_size
        self.left(batch.messages, batch.mean_delay(now), now - batch.due if timed else None)
        return super().leave(batch, now)
