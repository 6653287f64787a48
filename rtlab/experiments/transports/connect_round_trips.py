"""How many round trips a connect takes: k, if its time grows by k ms for each millisecond of added RTT."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rtlab.client.client_factory_by_transport import check_transports
from rtlab.experiments.transports.direct_or_delayed_path import path_to
from rtlab.measure.statistics.line_fit import fit_line
from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.widgets.verdicts.plain_table import PlainTable
from rtlab.widgets.verdicts.verdict_row import marked

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from rtlab.experiments.transports.transport_comparison import OnProgress
    from rtlab.figures.chart_style.matplotlib_style import Chart
    from rtlab.lab.lab import Lab

__all__ = ["ConnectTimeFit", "RoundTrips", "connect_round_trips"]


class ConnectTimeFit(NamedTuple):
    """Connect times of one transport, and the line through them.

    Parameters
    ----------
    rtt_ms, connect_ms : array of shape (n,)
        Milliseconds added to the round trip, and milliseconds that the connect took.
    slope, base_ms : float
        Slope of the line, which is the number of round trips, and connect time without added delay in ms.
    """

    rtt_ms: NDArray[np.float64]
    connect_ms: NDArray[np.float64]
    slope: float
    base_ms: float


class RoundTrips:
    """The outcome of `connect_round_trips`.

    Attributes
    ----------
    lines : dict of str to ConnectTimeFit
        Transport → its connect times and fitted line.
    """

    def __init__(self, lines: dict[str, ConnectTimeFit]) -> None:
        self.lines = lines

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each transport.

        Returns
        -------
        pandas.DataFrame
            Columns ``round_trips``, including TCP's handshake, and ``base_ms``, the connect time
            without added delay.
        """
        import pandas as pd

        rows = {
            name: {"round_trips": line.slope, "base_ms": line.base_ms} for name, line in self.lines.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("transport")

    def k(self, transport: str) -> int:
        """Return a transport's round trips, TCP's included, as a whole number."""
        return round(self.lines[transport].slope)

    @property
    def table(self) -> PlainTable:
        """The frame for display, with units."""
        rows = [
            [name, marked(f"{line.slope:.1f}"), marked(f"{line.base_ms:.1f}")]
            for name, line in self.lines.items()
        ]
        return PlainTable(["transport", "round trips to connect", "connect at no distance, ms"], rows)

    def __repr__(self) -> str:
        return f"<RoundTrips: {', '.join(f'{name} {self.k(name)}' for name in self.lines)}>"

    def _repr_html_(self) -> str:
        return self.table.html

    def plot(self) -> Chart:
        """Draw connect time over added round-trip time, with the fitted lines.

        Returns
        -------
        Chart
            A matplotlib `Figure`.
        """
        from rtlab.figures.transports.connect_time import connect_time_figure

        return connect_time_figure(self.lines)


async def connect_round_trips(
    lab: Lab,
    transports: tuple[str, ...] = TRANSPORTS,
    *,
    rtts_ms: tuple[float, ...] = (0.0, 20.0, 40.0, 80.0),
    repeats: int = 5,
    progress: OnProgress | None = None,
) -> RoundTrips:
    """Connect over paths with several round-trip times, and fit each transport's number of round trips.

    Parameters
    ----------
    lab : Lab
        A running lab, started with ``faults=True``.
    transports : tuple of str
        Transports to measure.
    rtts_ms : tuple of float
        Milliseconds to add to a round trip; at least two different ones.
    repeats : int
        Connects of each transport at each added round-trip time; the transports take turns.
    progress : callable, optional
        Called with the share done, from 0 to 1, and a short text.

    Returns
    -------
    RoundTrips

    Examples
    --------
    ::

        trips = await connect_round_trips(lab, rtts_ms=(0, 50, 100))
        trips.k("websocket")  # 2: TCP's handshake, then the upgrade
    """
    check_transports(transports)
    if len(set(rtts_ms)) < 2:
        raise ValueError(f"expected at least two different rtts_ms, got {rtts_ms}")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in transports}
    for number, rtt_ms in enumerate(rtts_ms):
        async with path_to(lab, rtt_ms) as path:
            for turn in range(repeats):
                if progress is not None:
                    progress((number + turn / repeats) / len(rtts_ms), f"{rtt_ms:g} ms")
                for name in transports:
                    async with path.client(name) as conn:
                        times[name].append((rtt_ms, (conn.stats.connect_time or 0.0) * 1e3))
    if progress is not None:
        progress(1.0, "done")
    return RoundTrips({name: _line(points) for name, points in times.items()})


def _line(points: list[tuple[float, float]]) -> ConnectTimeFit:
    x, y = np.array(points).T
    return ConnectTimeFit(x, y, *fit_line(x, y))
