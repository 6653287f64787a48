"""What a herd of clients did after it lost its server, simulated or measured: curves and totals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

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

    @classmethod
    def measured(
        cls,
        label: str,
        *,
        clients: int,
        capacity: float,
        outage: float,
        duration: float,
        bin_width: float,
        attempts: Sequence[float],
        accepted: Sequence[float],
        gave_up: int,
        longest_wait: float,
    ) -> Self:
        """Make the curves of a herd of real connections.

        Parameters
        ----------
        label, clients, capacity, outage, bin_width, gave_up, longest_wait
            As above.
        duration : float
            Seconds that were watched.
        attempts, accepted : sequence of float
            When each attempt began, and each connection was open, in seconds since the loss.

        Returns
        -------
        HerdRun
            Every attempt that did not succeed counts as refused.
        """
        edges = bin_width * np.arange(math.ceil(duration / bin_width) + 1)
        return cls(
            label=label,
            source="measured",
            clients=clients,
            capacity=capacity,
            outage=outage,
            bin_width=bin_width,
            attempts=np.histogram(attempts, edges)[0],
            accepted=np.histogram(accepted, edges)[0],
            refused=len(attempts) - len(accepted),
            timed_out=0,
            gave_up=gave_up,
            all_in=float(max(accepted)) if len(accepted) == clients else None,
            longest_wait=longest_wait,
        )

    @property
    def times(self) -> NDArray[np.float64]:
        """The middle of each bin, in seconds since the loss."""
        return self.bin_width * np.arange(0.5, len(self.attempts))

    @property
    def attempts_per_client(self) -> float:
        """Attempts made by a client, on average: nothing is fast by doing less."""
        return float(self.attempts.sum()) / self.clients

    @property
    def share_in(self) -> float:
        """The share of the clients that were connected at the end."""
        return float(self.accepted.sum()) / self.clients

    def busiest_share(self, seconds: float = 1.0) -> float:
        """Return the share of the herd that knocks in the busiest stretch of time with a server.

        A rate would be the herd's size over the width of a bin, whatever that is: a herd in
        lockstep knocks in no time. Its share is 1, over any width.

        Parameters
        ----------
        seconds : float
            Length of the stretch, rounded to whole bins.
        """
        width = max(1, round(seconds / self.bin_width))
        knocks = self.attempts[int(self.outage / self.bin_width) :]
        return float(np.convolve(knocks, np.ones(width)).max()) / self.clients

    @property
    def idle_share(self) -> float:
        """The share of the time in which a server that is back accepts nobody, until its last arrival."""
        served = self.accepted[int(self.outage / self.bin_width) :]
        busy = np.flatnonzero(served)
        return 1.0 - len(busy) / (int(busy[-1]) + 1) if len(busy) else 1.0

    def __repr__(self) -> str:
        all_in = "not all in" if self.all_in is None else f"all in after {self.all_in:.1f} s"
        return (
            f"<HerdRun {self.label}, {self.source}: {self.clients:,} clients, {all_in}, "
            f"{self.attempts_per_client:.1f} attempts each, {self.busiest_share():.0%} in the busiest second>"
        )
