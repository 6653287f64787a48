"""Scrapes every node's metrics periodically, and evaluates the alert rules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from typing import Self

from rtlab.errors import LabError
from rtlab.lab.fetch_prometheus_page import MetricsReader
from rtlab.measure.monitoring.alert_rules import DEFAULT_ALERTS, Alert, Alerts
from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory
from rtlab.measure.monitoring.prometheus_text_parser import MetricsPage

__all__ = ["NodeWatch"]


class NodeWatch:
    """Scrapes several nodes concurrently, as Prometheus would.

    Parameters
    ----------
    nodes : sequence of str, or mapping of str to str
        Base URLs. A mapping gives each node's name; a sequence names them ``node-1``, ``node-2``, …
    token : str
        The admin token, the same for all nodes.
    ssl : SSLContext, optional
        For ``https``: the TLS context that holds the trusted certificates.
    interval : float
        Seconds between two scrapes of a node.
    alerts : sequence of Alert
        The alert rules.
    looked : callable
        Called without arguments after each round of scrapes.

    Attributes
    ----------
    histories : dict of str to MetricsHistory
        The scrapes, by node name.
    alerts : Alerts
        The state of each rule on each node.

    Examples
    --------
    ::

        async with NodeWatch(lab.urls, lab.token) as watch:
            await asyncio.sleep(3)
        watch.alerts.firing
    """

    def __init__(
        self,
        nodes: Sequence[str] | Mapping[str, str],
        token: str,
        *,
        ssl: SSLContext | None = None,
        interval: float = 0.5,
        alerts: Sequence[Alert] = DEFAULT_ALERTS,
        looked: Callable[[], object] = lambda: None,
    ) -> None:
        if not interval > 0:
            raise ValueError(f"expected interval > 0 seconds, got {interval!r}")
        by_name = (
            nodes if isinstance(nodes, Mapping) else {f"node-{n}": url for n, url in enumerate(nodes, 1)}
        )
        if not by_name:
            raise ValueError("expected at least one node: lab.urls")
        self.urls = dict(by_name)
        self.alerts = Alerts(alerts)
        self.histories = {name: MetricsHistory() for name in self.urls}
        self._token, self._ssl = token, ssl
        self._interval = interval
        self._looked = looked
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start scraping; does nothing if it runs already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="node watch")

    async def stop(self) -> None:
        """Stop scraping, and wait until the task has ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self, reader: MetricsReader) -> None:
        """Scrape every node once, and evaluate the rules."""
        await asyncio.gather(*(self._look(reader, name) for name in self.urls))
        self._looked()

    async def _run(self) -> None:
        async with MetricsReader(self._token, self._ssl, timeout=max(0.5, self._interval)) as reader:
            while True:
                await self.look(reader)
                await asyncio.sleep(self._interval)

    async def _look(self, reader: MetricsReader, name: str) -> None:
        try:
            page = MetricsPage.parse(await reader.read(self.urls[name]))
        except LabError:
            page = None
        now = time.monotonic()
        self.histories[name].add(now, page)
        self.alerts.look(name, self.histories[name], now)
