"""What `compare` measured: the table, and the figure."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from rtlab.figures.palette import color_of, readable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
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
        # Idle use is an estimate: less than nothing means nothing to speak of.
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

    # Showing it

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
        """Draw latency, connect time, bytes and CPU, each beside the others'.

        Returns
        -------
        Chart
            A matplotlib `Figure`.
        """
        from rtlab.figures.chart import Chart

        chart = Chart(11, 3.6, about=f"{', '.join(self.transports)} compared: {self.conditions}")
        push, connect, wire, cpu = chart.subplots(1, 4, width_ratios=(2, 1, 1, 1))
        self._draw_latency(push)
        self._draw_bars(connect, "Connect", "ms (median)", ("connect_p50_ms",))
        self._draw_bars(wire, "Bytes a message", "bytes on the wire", ("push_bytes", "send_bytes"))
        self._draw_bars(cpu, "CPU", "ms for 1,000 pushes", ("client_cpu_ms", "server_cpu_ms"))
        return chart

    def _draw_latency(self, axes: Axes) -> None:
        from rtlab.figures.chart import FAINT, dress

        dress(axes, title="Server push, one way", xlabel="latency (ms)", ylabel="share of messages (%)")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for index, name in enumerate(self.transports):
            values = np.sort(self.samples(name))
            values = values[~np.isnan(values) & (values > 0)]
            if values.size:
                share = np.arange(1, values.size + 1) / values.size * 100
                axes.step(values, share, where="post", color=color_of(name, index), label=name, linewidth=1.8)
        for q in (50, 95, 99):
            axes.axhline(q, color=FAINT, linewidth=0.6, linestyle=":")
        axes.legend(frameon=False, fontsize=9, loc="lower right")

    def _draw_bars(self, axes: Axes, title: str, label: str, columns: tuple[str, ...]) -> None:
        from rtlab.figures.chart import FAINT, dress

        dress(axes, title=title, ylabel=label)
        width = 0.8 / len(columns)
        for n, column in enumerate(columns):
            at = np.arange(len(self.transports)) + (n - (len(columns) - 1) / 2) * width
            colors = [color_of(name, i) for i, name in enumerate(self.transports)]
            bars = axes.bar(at, self.frame[column], width * 0.92, color=colors, alpha=1.0 if n == 0 else 0.45)
            axes.bar_label(bars, fmt=readable, fontsize=7, color=FAINT)
        axes.set_xticks(range(len(self.transports)), self.transports, rotation=30, ha="right")
        if len(columns) > 1:
            words = [column.partition("_")[0] for column in columns]
            axes.set_xlabel(f"full: {words[0]}; faint: {words[1]}", fontsize=8, color=FAINT)


def _percentile(values: NDArray[np.float64], q: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.percentile(known, q)) if known.size else math.nan
