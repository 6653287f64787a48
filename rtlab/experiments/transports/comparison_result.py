"""The result of `rtlab.experiments.transports.transport_comparison.compare`, as a table."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from rtlab.capture.wire_cost_tables import WireReport
    from rtlab.figures.chart_style.matplotlib_style import Chart
    from rtlab.measure.recorder import Recorder
    from rtlab.widgets.verdicts.plain_table import PlainTable

__all__ = ["COLUMNS", "ROW_NAMES", "Comparison", "Turn"]

#: Column of `Comparison.frame` → its meaning.
COLUMNS: Final[dict[str, str]] = {
    "messages": "messages pushed",
    "push_p50_ms": "one-way latency of a push, intended to received: median",
    "push_p95_ms": "… 95th percentile",
    "push_p99_ms": "… 99th percentile",
    "transit_p50_ms": "the same without the sender's lateness: median, written to received",
    "round_trip_p50_ms": "an echo, asked for and come back: median",
    "connect_p50_ms": "until the connection is usable: median",
    "push_bytes": "wire bytes of one push, both directions, IP and TCP or UDP headers included",
    "send_bytes": "wire bytes of one message from the client, likewise",
    "connect_bytes": "wire bytes of connecting, likewise",
    "client_cpu_ms": "CPU of this process for 1,000 pushes, less what it uses idle",
    "server_cpu_ms": "CPU of the server for 1,000 pushes, likewise",
}
#: Column → heading of its row in `Comparison.table`, with the unit.
ROW_NAMES: Final[dict[str, str]] = {
    "messages": "messages pushed",
    "push_p50_ms": "push p50, ms",
    "push_p95_ms": "push p95, ms",
    "push_p99_ms": "push p99, ms",
    "transit_p50_ms": "transit p50, ms",
    "round_trip_p50_ms": "round trip p50, ms",
    "connect_p50_ms": "connect p50, ms",
    "push_bytes": "bytes of a push",
    "send_bytes": "bytes of a send",
    "connect_bytes": "bytes to connect",
    "client_cpu_ms": "client CPU, ms/1,000 pushes",
    "server_cpu_ms": "server CPU, ms/1,000 pushes",
}


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one transport in one turn.

    Parameters
    ----------
    transport : str
        Name of the transport.
    connect : float
        Seconds until the connection was usable.
    echoes : list of float
        Round trips in seconds.
    messages : int
        Number of messages in the feed.
    server_cpu, client_cpu : float
        CPU seconds used during the feed, minus what an idle process uses in that time.
    """

    transport: str
    connect: float
    echoes: list[float]
    messages: int
    server_cpu: float
    client_cpu: float


class Comparison:
    """The result of `compare`.

    Attributes
    ----------
    turns : list of Turn
        All turns, in the order in which they ran.
    recorder : Recorder
        The latency samples of the feeds, with one series for each transport.
    wire : WireReport or None
        Wire bytes, counted in a separate run; None if the comparison was stopped before that.
    """

    def __init__(
        self,
        transports: tuple[str, ...],
        turns: list[Turn],
        recorder: Recorder,
        wire: WireReport | None,
        *,
        rate: float,
        size: int,
        rtt_ms: float | None,
        first_sample: int = 0,
        encrypted: bool = False,
    ) -> None:
        self.transports = transports
        self.turns = turns
        self.recorder = recorder
        self.wire = wire
        self.rate = rate
        self.size = size
        self.rtt_ms = rtt_ms
        self.encrypted = encrypted
        self._first = first_sample
        self._frame: pd.DataFrame | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The table: a row for each transport, the columns of `COLUMNS`."""
        if self._frame is None:
            import pandas as pd

            rows = {name: self._row(name) for name in self.transports}
            made = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
            self._frame = made.rename_axis("transport")
        return self._frame

    def samples(self, transport: str, column: str = "latency") -> NDArray[np.float64]:
        """Return times of one transport's pushes in milliseconds, in order of arrival.

        Parameters
        ----------
        transport : str
            Name of the transport.
        column : {"latency", "transit", "lateness"}
            Latency runs from the intended send time to arrival, transit from the actual write to arrival;
            lateness is the difference between the two start times.
        """
        rows = self.recorder.since(self._first).rows
        series = self.recorder.series.get(transport)
        rows = rows[rows["series"] == series.index] if series is not None else rows[:0]
        return self.recorder.measures(rows)[column]

    def _row(self, name: str) -> list[float]:
        turns = [turn for turn in self.turns if turn.transport == name]
        messages = sum(turn.messages for turn in turns)
        latency, transit = self.samples(name), self.samples(name, "transit")
        echoes = [echo for turn in turns for echo in turn.echoes]
        # The subtracted idle CPU time is an estimate, so the difference may be negative: report 0.
        cpu = [
            max(0.0, sum(getattr(turn, kind) for turn in turns)) * 1e6 / messages if messages else math.nan
            for kind in ("client_cpu", "server_cpu")
        ]
        return [
            float(messages),
            *(_percentile(latency, q) for q in (50, 95, 99)),
            _percentile(transit, 50),
            _percentile(np.array(echoes) * 1e3, 50),
            _percentile(np.array([turn.connect for turn in turns]) * 1e3, 50),
            *self._bytes(name),
            *cpu,
        ]

    def _bytes(self, name: str) -> tuple[float, float, float]:
        """Return the bytes of a push, of a send and of connecting."""
        if self.wire is None:
            return math.nan, math.nan, math.nan
        wire = self.wire.per_message.loc[name]
        return (
            float(wire["push_warm"]),
            float(wire["send_warm"]),
            float(wire["push_cold"] - wire["push_warm"]),
        )

    # Display

    @property
    def conditions(self) -> str:
        """The conditions of the measurement, in words."""
        path = "direct" if self.rtt_ms is None else f"{self.rtt_ms:g} ms added to a round trip"
        tls = ", over TLS" if self.encrypted else ""
        return f"{self.rate:g} messages/s of {self.size} B, {path}{tls}"

    def __repr__(self) -> str:
        return f"<Comparison: {', '.join(self.transports)}; {self.conditions}>"

    @property
    def table(self) -> PlainTable:
        """The frame for display: transposed, one row for each of its columns, with units."""
        from rtlab.widgets.verdicts.plain_table import PlainTable
        from rtlab.widgets.verdicts.verdict_row import marked

        rows = [
            [ROW_NAMES[column], *(marked(_digits(column, value)) for value in self.frame[column])]
            for column in COLUMNS
        ]
        return PlainTable(["", *self.transports], rows, self.conditions)

    def _repr_html_(self) -> str:
        return self.table.html

    def to_dict(self) -> dict[str, Any]:
        """Return the table and its conditions as plain JSON values."""
        rows: dict[str, Any] = {}
        for name, row in self.frame.iterrows():
            rows[str(name)] = {key: None if math.isnan(value) else value for key, value in row.items()}
        return {
            "rate": self.rate,
            "size": self.size,
            "rtt_ms": self.rtt_ms,
            "tls": self.encrypted,
            "transports": rows,
        }

    def plot(self) -> Chart:
        """Draw transit, connect time, bytes and CPU of the transports side by side.

        Returns
        -------
        Chart
            A matplotlib `Figure`.
        """
        from rtlab.figures.transports.transports_side_by_side import comparison_figure

        transits = {name: self.samples(name, "transit") for name in self.transports}
        return comparison_figure(self.frame, transits, about=self.conditions)


def _digits(column: str, value: float) -> str:
    """Return a cell of `Comparison.frame` as text; a dash if it was not measured."""
    if math.isnan(value):
        return "–"
    whole = column.endswith("bytes") or column == "messages"
    return f"{value:,.0f}" if whole else f"{value:,.2f}"


def _percentile(values: NDArray[np.float64], q: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.percentile(known, q)) if known.size else math.nan
