"""What a herd of clients did after it lost its server, simulated or measured: curves and totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HerdRun"]


@dataclass(frozen=True, kw_only=True, eq=False)
class HerdRun:
    """What a herd did, simulated or measured: the curves, and the totals that keep them honest.

    Parameters
    ----------
    label : str
        Which policy.
    source : {"simulated", "measured"}
        How it was obtained.
    clients : int
        How many.
    capacity : float
        Connections that the server accepts per second, μ.
    outage, bin_width : float
        Seconds without a server, and of one point on the curves.
    attempts, accepted : array of int
        Connection attempts that started, and connections that opened, in each bin.
    refused, timed_out, gave_up : int
        Attempts that were refused, attempts that waited too long, clients that stopped trying.
    all_in : float or None
        Seconds from the loss until the last client was connected; None if some were not.
    longest_wait : float
        The longest time from an attempt to its connection, in seconds.
    """

    label: str
    source: Literal["simulated", "measured"]
    clients: int
    capacity: float
    outage: float
    bin_width: float
    attempts: NDArray[np.int64]
    accepted: NDArray[np.int64]
    refused: int
    timed_out: int
    gave_up: int
    all_in: float | None
    longest_wait: float

    @property
    def times(self) -> NDArray[np.float64]:
        """The middle of each bin, in seconds since the loss."""
        return self.bin_width * np.arange(0.5, len(self.attempts))

    @property
    def attempts_per_client(self) -> float:
        """Attempts made by a client, on average: nothing is fast by doing less."""
        return float(self.attempts.sum()) / self.clients

    @property
    def peak_rate(self) -> float:
        """The highest attempt rate of any bin, per second."""
        return float(self.attempts.max()) / self.bin_width

    def __repr__(self) -> str:
        all_in = "not all in" if self.all_in is None else f"all in after {self.all_in:.1f} s"
        return (
            f"<HerdRun {self.label}, {self.source}: {self.clients:,} clients, {all_in}, "
            f"{self.attempts_per_client:.1f} attempts each, peak {self.peak_rate:,.0f}/s>"
        )
