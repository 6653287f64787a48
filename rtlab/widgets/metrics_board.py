"""All nodes at a glance, live: what they count, and which alerts fire."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import math
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import anywidget
import traitlets

from rtlab.errors import LabError
from rtlab.measure.monitoring.alerts import DEFAULT_ALERTS, Alert
from rtlab.measure.monitoring.node_watch import NodeWatch
from rtlab.widgets.loop_callback import LoopCallback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ssl import SSLContext

    from rtlab.measure.monitoring.alerts import Alerts
    from rtlab.measure.monitoring.metrics_history import MetricsHistory

__all__ = ["READINGS", "MetricsBoard"]

_HERE: Final = Path(__file__).parent / "js"
_PARTS: Final = ("scale.js", "kernel.js", "board.js")
#: Looks that are drawn; at most this many messages are under way to the browser.
_POINTS: Final = 120
_CREDIT: Final = 3
_PATIENCE: Final = 5.0

#: Name → (what it is, unit) of what the board shows for each node.
READINGS: Final[Mapping[str, tuple[str, str]]] = {
    "clients": ("clients connected", ""),
    "received": ("messages in", "/s"),
    "sent": ("messages out", "/s"),
    "turn": ("p99 of the loop's lateness", "ms"),
    "handling": ("p99 of handling", "ms"),
    "queued": ("messages queued", ""),
    "reconnects": ("reconnects", "/s"),
    "cpu": ("CPU of one core", "%"),
}


class MetricsBoard(anywidget.AnyWidget):
    """A table and a chart of what every node counts, and the alerts over it.

    Parameters
    ----------
    nodes : sequence of str, or mapping of str to str
        Base URLs, by name where a name is wanted: ``lab.urls``.
    token : str
        The admin token: ``lab.token``.
    ssl : SSLContext, optional
        What to trust, for ``https``: ``lab.ssl``.
    interval : float
        Seconds between two looks at each node.
    alerts : sequence of Alert
        The rules.

    Attributes
    ----------
    stopped : asyncio.Event
        Set when the reader presses Stop.
    watch : NodeWatch
        Histories and alerts, for code.

    Notes
    -----
    Everything on it can be reached with Tab: the choice of what is drawn, each alert, Stop. The
    chart's newest numbers are its text for a screen reader too.

    Examples
    --------
    In a notebook::

        board = MetricsBoard(lab.urls, lab.token)
        display(board)
        async with board:
            await board.wait(10)  # returns early when the reader presses Stop
        board.alerts.fired
    """

    _esm = "\n".join((_HERE / part).read_text("utf-8") for part in _PARTS)
    _css = (_HERE / "board.css").read_text("utf-8")

    # Settings only: numbers never become synced state.
    readings: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    rules: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    state = traitlets.Enum(("ready", "running", "stopping", "stopped"), "ready").tag(sync=True)

    def __init__(
        self,
        nodes: Sequence[str] | Mapping[str, str],
        token: str,
        *,
        ssl: SSLContext | None = None,
        interval: float = 0.5,
        alerts: Sequence[Alert] = DEFAULT_ALERTS,
    ) -> None:
        self.watch = NodeWatch(nodes, token, ssl=ssl, interval=interval, alerts=alerts, looked=self._looked)
        super().__init__(
            readings=[[name, text, unit] for name, (text, unit) in READINGS.items()],
            rules=[[rule.name, rule.when, rule.lesson] for rule in alerts],
        )
        self.stopped = asyncio.Event()
        self._drawn = {node: deque[dict[str, float]](maxlen=_POINTS) for node in self.watch.urls}
        self._sent = self._acked = 0
        self._sent_at = -math.inf
        self._interval = interval
        self._on_loop = LoopCallback()
        self.on_msg(self._from_any_thread)

    @property
    def alerts(self) -> Alerts:
        """Where each rule stands, and which have fired."""
        return self.watch.alerts

    async def __aenter__(self) -> MetricsBoard:
        self._on_loop = LoopCallback()
        self.stopped.clear()
        self.state = "running"
        await self.watch.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None:
            self.stopped.set()  # an interrupt, say: as after Stop, the run is not a whole one
        await self.watch.stop()
        self.state = "stopped"
        self._send_board()

    async def wait(self, seconds: float) -> bool:
        """Wait, but not beyond the reader's patience.

        Parameters
        ----------
        seconds : float
            How long at most.

        Returns
        -------
        bool
            True when Stop was pressed.
        """
        try:
            await asyncio.wait_for(self.stopped.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def wait_for(self, alert: str, node: str | None = None, *, patience: float = 10.0) -> bool:
        """Wait until an alert fires.

        Parameters
        ----------
        alert : str
            Its name.
        node : str, optional
            On this node; on any, if left out.
        patience : float
            Seconds to wait at most.

        Returns
        -------
        bool
            Whether it fires; False after the patience, and when Stop was pressed.
        """
        deadline = asyncio.get_running_loop().time() + patience
        while not any(name == alert and node in (None, at) for name, at in self.alerts.firing):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or await self.wait(min(left, self._interval / 2)):
                return False
        return True

    def summary(self) -> str:
        """Return in words how many nodes answer, and which alerts fire."""
        up = sum(history.up for history in self.watch.histories.values())
        firing = ", ".join(f"{alert} ({node})" for alert, node in self.alerts.firing)
        return f"{up} of {len(self.watch.urls)} nodes answer; " + (
            f"firing: {firing}" if firing else "no alert"
        )

    def __repr__(self) -> str:
        count = len(self.watch.urls)
        return f"MetricsBoard({count} node{'s' * (count > 1)}, {len(self.alerts.rules)} rules)"

    # To the browser

    def _looked(self) -> None:
        for node, history in self.watch.histories.items():
            self._drawn[node].append(_read(history))
        quiet_for = asyncio.get_running_loop().time() - self._sent_at
        if self._sent - self._acked < _CREDIT or quiet_for > _PATIENCE:
            self._send_board()

    def _send_board(self) -> None:
        try:
            self._sent_at = asyncio.get_running_loop().time()
        except RuntimeError:
            return
        self._sent += 1
        nodes = [
            {
                "name": node,
                "up": history.up,
                "series": {name: [_plain(look.get(name)) for look in self._drawn[node]] for name in READINGS},
            }
            for node, history in self.watch.histories.items()
        ]
        states = [
            [self.alerts.state(rule.name, node) for node in self.watch.urls] for rule in self.alerts.rules
        ]
        self.send(
            {
                "kind": "board",
                "seq": self._sent,
                "interval": self._interval,
                "nodes": nodes,
                "states": states,
                "summary": self.summary(),
            }
        )

    # From the browser

    def _from_any_thread(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, message: dict[str, Any]) -> None:
        kind, seq = message.get("kind"), message.get("seq")
        if kind == "ack" and isinstance(seq, int):
            self._acked = max(self._acked, min(seq, self._sent))
        elif kind == "hello":
            self._acked = self._sent  # a view was opened: whatever was under way is lost
            self._send_board()
        elif kind == "stop" and self.state == "running":
            self.state = "stopping"
            self.stopped.set()


def _read(history: MetricsHistory) -> dict[str, float]:
    """Return what the board shows of one node now; nothing of one that does not answer."""
    if not history.up:
        return {}
    over = 2.0
    try:
        return {
            "clients": history.value("rtlab_sessions", state="connected"),
            "received": history.rate("rtlab_messages_received_total", over),
            "sent": history.rate("rtlab_messages_sent_total", over),
            "turn": 1e3 * history.quantile(0.99, "rtlab_turn_seconds", over),
            "handling": 1e3 * history.quantile(0.99, "rtlab_handling_seconds", over),
            "queued": history.value("rtlab_queued_messages"),
            "reconnects": history.rate("rtlab_reconnects_total", over),
            "cpu": 100 * history.rate("process_cpu_seconds_total", over),
        }
    except LabError:
        return {}  # another's server: it has no such metrics


def _plain(value: float | None) -> float | None:
    """Return what JSON can say."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
