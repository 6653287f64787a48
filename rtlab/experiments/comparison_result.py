"""What `rtlab.experiments.transport_comparison.compare` measured, as a table."""

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

    from rtlab.capture.wire_cost import WireReport
    from rtlab.figures.chart import Chart
    from rtlab.measure.recorder import Recorder

__all__ = ["COLUMNS", "Comparison", "Turn"]

#: The columns of `Comparison.frame`, and what they hold.
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
_DIGITS: Final = {"push_bytes": 0, "send_bytes": 0, "connect_bytes": 0, "messages": 0}


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One transport's turn.

    Parameters
    ----------
    transport : str
        Which.
    connect : float
        Seconds until the connection was usable.
    echoes : list of float
        Round trips in seconds.
    messages : int
        Messages of the feed.
    server_cpu, client_cpu : float
        CPU seconds during the feed, less the idle use of that time.
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
        In the order in which they were taken.
    recorder : Recorder
        Holds the feed's samples, a series for each transport.
    wire : WireReport
        The bytes, taken apart.
    """

    def __init__(
        self,
        transports: tuple[str, ...],
        turns: list[Turn],
        recorder: Recorder,
        wire: WireReport,
        *,
        rate: float,
        size: int,
        rtt_ms: float | None,
        first_sample: int = 0,
    ) -> None:
        self.transports = transports
        self.turns = turns
        self.recorder = recorder
        self.wire = wire
        self.rate = rate
        self.size = size
        self.rtt_ms = rtt_ms
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
        """Return one transport's pushes in milliseconds, in the order in which they came.

        Parameters
        ----------
        transport : str
            Which.
        column : {"latency", "transit", "lateness"}
            From the intended time, from the write, or between the two.
        """
        rows = self.recorder.since(self._first).rows
        rows = rows[rows["series"] == self.recorder.series[transport].index]
        return self.recorder.measures(rows)[column]

    def _row(self, name: str) -> list[float]:
        turns = [turn for turn in self.turns if turn.transport == name]
        messages = sum(turn.messages for turn in turns)
        latency, transit = self.samples(name), self.samples(name, "transit")
        wire = self.wire.per_message.loc[name]
        echoes = [echo for turn in turns for echo in turn.echoes]
        # The idle use that was subtracted is an estimate, so the difference may be negative: report 0.
        cpu = [
            max(0.0, sum(getattr(turn, kind) for turn in turns)) * 1e6 / max(1, messages)
            for kind in ("client_cpu", "server_cpu")
        ]
        return [
            float(messages),
            *(_percentile(latency, q) for q in (50, 95, 99)),
            _percentile(transit, 50),
            _percentile(np.array(echoes) * 1e3, 50),
            float(np.median([turn.connect for turn in turns])) * 1e3,
            float(wire["push_warm"]),
            float(wire["send_warm"]),
            float(wire["push_cold"] - wire["push_warm"]),
            *cpu,
        ]

    # Display

    @property
    def conditions(self) -> str:
        """How it was measured, in words."""
        path = "direct" if self.rtt_ms is None else f"{self.rtt_ms:g} ms added to a round trip"
        tls = ", over TLS" if self.wire.encrypted else ""
        return f"{self.rate:g} messages/s of {self.size} B, {path}{tls}"

    def __repr__(self) -> str:
        return f"<Comparison: {', '.join(self.transports)}; {self.conditions}>"

    def _repr_html_(self) -> str:
        table = self.frame.copy()
        for column in table.columns:
            digits = _DIGITS.get(column, 2)
            table[column] = [f"{value:,.{digits}f}" if value == value else "–" for value in table[column]]
        return f"<p>{self.conditions}</p>{table.T.to_html(border=0)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the table and how it was measured, as plain JSON values."""
        rows: dict[str, Any] = {}
        for name, row in self.frame.iterrows():
            rows[str(name)] = {key: None if math.isnan(value) else value for key, value in row.items()}
        return {
            "rate": self.rate,
            "size": self.size,
            "rtt_ms": self.rtt_ms,
            "tls": self.wire.encrypted,
            "transports": rows,
        }

    def plot(self) -> Chart:
        """Draw latency, connect time, bytes and CPU of the transports side by side.

        Returns
        -------
        Chart
            A matplotlib `Figure`.
        """
        from rtlab.figures.comparison import comparison_figure

        latencies = {name: self.samples(name) for name in self.transports}
        return comparison_figure(self.frame, latencies, about=self.conditions)


def _percentile(values: NDArray[np.float64], q: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.percentile(known, q)) if known.size else math.nan
