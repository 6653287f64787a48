"""Plays a batching window over a list of arrivals, with a server behind it: a simulation, exact and quick.

The window is the very object that `rtlab.patterns.message_batcher.MessageBatcher` ships; only time
is made up. The server serves one frame after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rtlab.policies.batching import BatchWindow

__all__ = ["Played", "play_window"]


class Played(NamedTuple):
    """What became of the messages.

    Parameters
    ----------
    added : array of shape (messages,)
        Seconds that each waited for its batch to leave.
    total : array of shape (messages,)
        Seconds until the server had handled its frame.
    sizes : array of shape (frames,)
        Messages in each frame.
    waits : array of shape (frames,)
        The window's wait when each frame left: what an adaptive one has learnt.
    left : array of shape (frames,)
        When each frame left.
    """

    added: NDArray[np.float64]
    total: NDArray[np.float64]
    sizes: NDArray[np.int64]
    waits: NDArray[np.float64]
    left: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"<Played: {len(self.added):,} messages in {len(self.sizes):,} frames>"


def play_window(
    window: BatchWindow,
    times: Sequence[float] | NDArray[np.float64],
    *,
    size_bytes: int = 64,
    per_frame: float = 0.0,
    per_message: float = 0.0,
) -> Played:
    """Play a window over arrivals.

    Parameters
    ----------
    window : BatchWindow
        Which.
    times : array
        When messages arrive, seconds, ascending.
    size_bytes : int
        Of each message.
    per_frame, per_message : float
        Seconds of the server for each frame, and for each message in it.

    Returns
    -------
    Played

    Examples
    --------
    >>> from rtlab.policies.batching import SizeOrTimeout
    >>> play_window(SizeOrTimeout(batch_size=2, flush_interval=0.1), [0.0, 0.03, 1.0])
    <Played: 3 messages in 2 frames>
    """
    batch = window.start()
    left: list[float] = []
    sizes: list[int] = []
    waits: list[float] = []
    count = 0

    def leave(at: float) -> None:
        nonlocal batch, count
        left.append(at)
        sizes.append(count)
        waits.append(batch.wait)
        batch, count = window.leave(batch, at), 0

    for at in map(float, times):
        if count and at >= batch.due:
            leave(batch.due)
        if count and not window.has_room(batch, size_bytes):
            leave(at)
        batch, count = window.add(batch, size_bytes, at), count + 1
        if window.leaves(batch, at):
            leave(at)
    if count:
        leave(batch.due)
    leaves, frames = np.array(left), np.array(sizes)
    done, free = np.empty(len(leaves)), -np.inf
    for n, at in enumerate(leaves):  # Lindley: a frame begins when it is there and the one before is done
        free = done[n] = max(at, free) + per_frame + per_message * sizes[n]
    arrived = np.asarray(times, float)
    return Played(
        np.repeat(leaves, frames) - arrived,
        np.repeat(done, frames) - arrived,
        frames,
        np.array(waits),
        leaves,
    )
