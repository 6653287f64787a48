"""Simulates a batching window on a list of arrival times, followed by a server that handles the frames.

The window is the object that `rtlab.patterns.message_batcher.MessageBatcher` itself uses; only time is
simulated. The server handles one frame after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rtlab.policies.size_or_time_batching_windows import BatchWindow

__all__ = ["Played", "play_window"]


class Played(NamedTuple):
    """Delays and frames of a simulated batching window.

    Parameters
    ----------
    added : array of shape (messages,)
        Seconds that each message waited until its batch was sent.
    total : array of shape (messages,)
        Seconds from each message's arrival until the server had handled its frame.
    sizes : array of shape (frames,)
        Messages in each frame.
    waits : array of shape (frames,)
        The window's wait in seconds when each frame was sent; an adaptive window changes it over time.
    left : array of shape (frames,)
        Time at which each frame was sent, in seconds.
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
    """Simulate a batching window on arrival times.

    Parameters
    ----------
    window : BatchWindow
        The batching window to simulate.
    times : array
        Arrival times of the messages in seconds, ascending.
    size_bytes : int
        Size of each message in bytes.
    per_frame, per_message : float
        Seconds that the server spends on each frame, and on each message in it.

    Returns
    -------
    Played

    Examples
    --------
    >>> from rtlab.policies.size_or_time_batching_windows import SizeOrTimeout
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
    for n, at in enumerate(leaves):  # Lindley: service starts once the frame is here and the last is done
        free = done[n] = max(at, free) + per_frame + per_message * sizes[n]
    arrived = np.asarray(times, float)
    return Played(
        np.repeat(leaves, frames) - arrived,
        np.repeat(done, frames) - arrived,
        frames,
        np.array(waits),
        leaves,
    )
