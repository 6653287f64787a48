"""The result of a herd of clients that lost its server, simulated or measured: curves and totals."""

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
    """How a herd reconnected, simulated or measured: attempts and connections over time, and totals.

    Parameters
    ----------
    label : str
        Name of the policy.
    source : {"simulated", "measured"}
        Whether the run was simulated or measured.
    clients : int
        Number of clients.
    capacity : float
        Connections that the server accepts per second, μ.
    outage, bin_width : float
        Duration of the outage, and width of a bin of the curves, in seconds.
    attempts, accepted : array of int
        Connection attempts that started, and connections that opened, in each bin.
    refused, timed_out, gave_up : int
        Attempts that were refused, attempts that timed out, and clients that gave up.
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
            As in `HerdRun`.
        duration : float
            Seconds from the loss to the end of the measurement.
        attempts, accepted : sequence of float
            When each attempt began, and when each connection was open, in seconds since the loss.

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
        """Mean number of attempts per client."""
        return float(self.attempts.sum()) / self.clients

    @property
    def share_in(self) -> float:
        """Share of clients that were connected at the end."""
        return float(self.accepted.sum()) / self.clients

    def busiest_share(self, seconds: float = 1.0) -> float:
        """Return the largest share of the herd that tries to connect in any window after the outage.

        A peak rate would depend on the width of the bins, because a herd in lockstep makes all its attempts
        in one instant. The share of such a herd is 1, whatever the width.

        Parameters
        ----------
        seconds : float
            Length of the window, rounded to whole bins.
        """
        width = max(1, round(seconds / self.bin_width))
        knocks = self.attempts[int(self.outage / self.bin_width) :]
        return float(np.convolve(knocks, np.ones(width)).max()) / self.clients

    @property
    def idle_share(self) -> float:
        """Share of bins, from the server's return to its last accept, in which it accepts no client."""
        served = self.accepted[int(self.outage / self.bin_width) :]
        busy = np.flatnonzero(served)
        return 1.0 - len(busy) / (int(busy[-1]) + 1) if len(busy) else 1.0

    def __repr__(self) -> str:
        all_in = "not all in" if self.all_in is None else f"all in after {self.all_in:.1f} s"
        return (
            f"<HerdRun {self.label}, {self.source}: {self.clients:,} clients, {all_in}, "
            f"{self.attempts_per_client:.1f} attempts each, {self.busiest_share():.0%} in the busiest second>"
        )
