"""A live board of all nodes: their metrics, and which alerts fire."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import anywidget
import traitlets

from rtlab.errors import LabError
from rtlab.measure.monitoring.alert_rules import DEFAULT_ALERTS, Alert
from rtlab.measure.monitoring.scrape_all_nodes import NodeWatch
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.stop_button_wait import Stoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from ssl import SSLContext

    from rtlab.measure.monitoring.alert_rules import Alerts
    from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory

__all__ = ["READINGS", "MetricsBoard"]

#: How many polls are drawn; how many messages to the browser may be unacknowledged; after how many seconds
#: without a message one is sent all the same.
_POINTS: Final = 120
_CREDIT: Final = 3
_PATIENCE: Final = 5.0

#: What the board shows for each node: name → (meaning, unit).
READINGS: Final[Mapping[str, tuple[str, str]]] = {
    "clients": ("clients connected", ""),
    "received": ("messages in", "/s"),
    "sent": ("messages out", "/s"),
    "turn": ("p99 of the loop's lateness", "ms"),
    "handling": ("p99 of handling", "ms"),
    "queued": ("messages queued", ""),
    "reconnects": ("reconnects", "/s"),
    "broke": ("broken off (1006)", "/s"),
    "silence": ("silence of the broker", "s"),
    "cpu": ("CPU of one core", "%"),
}

#: Seconds over which rates and percentiles are taken.
_OVER: Final = 2.0
_READ: Final[Mapping[str, Callable[[MetricsHistory], float]]] = {
    "clients": lambda history: history.value("rtlab_sessions", state="connected"),
    "received": lambda history: history.rate("rtlab_messages_received_total", _OVER),
    "sent": lambda history: history.rate("rtlab_messages_sent_total", _OVER),
    "turn": lambda history: 1e3 * history.quantile(0.99, "rtlab_turn_seconds", _OVER),
    "handling": lambda history: 1e3 * history.quantile(0.99, "rtlab_handling_seconds", _OVER),
    "queued": lambda history: history.value("rtlab_queued_messages"),
    "reconnects": lambda history: history.rate("rtlab_reconnects_total", _OVER),
    "broke": lambda history: history.rate("rtlab_disconnects_total", _OVER, code="1006"),
    "silence": lambda history: history.value("rtlab_broker_silence_seconds"),
    "cpu": lambda history: 100 * history.rate("process_cpu_seconds_total", _OVER),
}


class MetricsBoard(Stoppable, anywidget.AnyWidget):
    """A table and a chart of every node's metrics, and the alerts on them.

    Parameters
    ----------
    nodes : sequence of str, or mapping of str to str
        Base URLs of the nodes, or name → base URL: ``lab.urls``.
    token : str
        The admin token: ``lab.token``.
    ssl : SSLContext, optional
        TLS settings for ``https`` URLs: ``lab.ssl``.
    interval : float
        Seconds between two polls of each node.
    alerts : sequence of Alert
        The alert rules.
    drawn : str
        Which of `READINGS` is drawn at first.

    Attributes
    ----------
    stopped : asyncio.Event
        Set when the reader presses Stop.
    watch : NodeWatch
        Histories and alerts of the nodes, for use in code.

    Notes
    -----
    Tab reaches every control: the choice of what is drawn, each alert, Stop. A screen reader reads
    the chart's newest numbers as its text.

    Examples
    --------
    In a notebook::

        board = MetricsBoard(lab.urls, lab.token)
        display(board)
        async with board:
            await board.wait(10)  # returns early when the reader presses Stop
        board.alerts.fired
    """

    _esm = page_files(
        "panel.js",
        "axis_ticks.js",
        "kernel_liveness.js",
        "keys_left_to_notebook.js",
        "scroll_into_view.js",
        "board.js",
    )
    _css = page_files("panel.css", "board.css")

    # Settings only: numbers never become synced state.
    readings: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    rules: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    drawn = traitlets.Enum(tuple(READINGS), "turn").tag(sync=True)
    state = traitlets.Enum(("ready", "running", "stopping", "stopped"), "ready").tag(sync=True)

    def __init__(
        self,
        nodes: Sequence[str] | Mapping[str, str],
        token: str,
        *,
        ssl: SSLContext | None = None,
        interval: float = 0.5,
        alerts: Sequence[Alert] = DEFAULT_ALERTS,
        drawn: str = "turn",
    ) -> None:
        self.watch = NodeWatch(nodes, token, ssl=ssl, interval=interval, alerts=alerts, looked=self._looked)
        super().__init__(
            readings=[[name, text, unit] for name, (text, unit) in READINGS.items()],
            rules=[[rule.name, rule.when, rule.lesson] for rule in alerts],
            drawn=drawn,
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
        """The state of each alert rule, and which have fired."""
        return self.watch.alerts

    async def __aenter__(self) -> MetricsBoard:
        self._on_loop = LoopCallback()
        self.stopped.clear()
        self.state = "running"
        await self.watch.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None:
            self.stopped.set()  # such as an interrupt: as after Stop, the run is incomplete
        await self.watch.stop()
        self.state = "stopped"
        self._send_board()

    async def wait_for(self, alert: str, node: str | None = None, *, patience: float = 10.0) -> bool:
        """Wait until an alert fires.

        Parameters
        ----------
        alert : str
            Name of the alert rule.
        node : str, optional
            Name of the node; None: any node.
        patience : float
            Seconds to wait at most.

        Returns
        -------
        bool
            True if the alert fires; False after `patience` seconds, or if Stop was pressed.

        Raises
        ------
        ValueError
            If the board has no such rule or node.
        """
        rules = [rule.name for rule in self.alerts.rules]
        if alert not in rules:
            raise ValueError(f"no rule {alert!r}: the board has {', '.join(rules) or 'none'}")
        if node is not None and node not in self.watch.urls:
            raise ValueError(f"no node {node!r}: the board has {', '.join(self.watch.urls)}")
        deadline = asyncio.get_running_loop().time() + patience
        while not any(name == alert and node in (None, at) for name, at in self.alerts.firing):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or await self.wait(min(left, self._interval / 2)):
                return False
        return True

    def summary(self) -> str:
        """Return in words how many nodes answer, which alerts fire, and which have fired."""
        up = sum(history.up for history in self.watch.histories.values())
        firing = self.alerts.firing
        before = [key for key in self.alerts.fired if key not in firing]
        said = [
            f"{word}: {', '.join(f'{alert} ({node})' for alert, node in keys)}"
            for word, keys in (("firing", firing), ("fired before", before))
            if keys
        ]
        return "; ".join([f"{up} of {len(self.watch.urls)} nodes answer", *(said or ["no alert"])])

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
        # The time of the newest poll: after the run, "now" means the run's end.
        now = max((looks[-1]["at"] for looks in self._drawn.values() if looks), default=0.0)
        nodes = [
            {
                "name": node,
                "up": history.up,
                "ages": [_plain(now - look["at"]) for look in self._drawn[node]],
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
                "fired": [
                    [node for node in self.watch.urls if (rule.name, node) in self.alerts.fired]
                    for rule in self.alerts.rules
                ],
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
            self._acked = self._sent  # a view was opened: messages under way are lost
            self._send_board()
        elif kind == "stop" and self.state == "running":
            self.state = "stopping"
            self.stopped.set()


def _read(history: MetricsHistory) -> dict[str, float]:
    """Return a node's newest readings and their time; only the time if the node does not answer."""
    found = {"at": history.looked_at}
    for name, reading in _READ.items() if history.up else ():
        with suppress(LabError):  # a server without this metric, such as one without a broker
            found[name] = reading(history)
    return found


def _plain(value: float | None) -> float | None:
    """Return the value to four digits, or None if JSON cannot encode it."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
