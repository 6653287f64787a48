"""The batching explorer: a run whose settings the reader changes, its live latency plot, and its costs."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import ipywidgets

from rtlab.client.event_emitter import Disconnected
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import InvalidState, LabError
from rtlab.measure.load_with_adjustable_batching import BatchingLoad
from rtlab.measure.recorder import Recorder
from rtlab.patterns.message_batcher import MessageBatcher
from rtlab.widgets.live_latency_plot import LatencyPlot
from rtlab.widgets.panels.batching_panel import BatchingPanel
from rtlab.widgets.stop_button_wait import wait_until_stopped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rtlab.lab.lab import Lab

__all__ = ["BatchingExplorer"]

#: Seconds between two readings of the counts.
_LOOK: Final = 0.5


class BatchingExplorer:
    """Sends messages through a `MessageBatcher` while the reader turns its knobs.

    Parameters
    ----------
    lab : Lab
        A lab with a fault proxy, which adds the round-trip time.
    rate, size, wait, rtt : int
        Initial values of the sliders: messages per second, B (most messages in a frame), T (longest wait,
        ms) and the added round-trip time (ms), all from `rtlab.widgets.panels.batching_panel.CHOICES`.

    Attributes
    ----------
    panel : BatchingPanel
        The sliders, and the numbers beside them.
    plot : LatencyPlot
        Round-trip times of echoes, each from its intended send time.

    Notes
    -----
    The added delay is the batcher's: from `send` until the batch leaves. The CPU time per message is that
    of the server's process, and that of this whole process: batcher, client, plot and notebook.

    Examples
    --------
    In a notebook::

        explorer = BatchingExplorer(lab)
        display(explorer)
        async with explorer:
            await explorer.wait(60)  # returns early when the reader presses Stop
    """

    def __init__(self, lab: Lab, *, rate: int = 200, size: int = 10, wait: int = 50, rtt: int = 0) -> None:
        self._lab = lab
        self._load: BatchingLoad | None = None
        self._task: asyncio.Task[None] | None = None
        self._rtt_wanted = asyncio.Event()
        self.recorder = Recorder()
        self.plot = LatencyPlot(self.recorder, title="Echoes, batched")
        self.panel = BatchingPanel({"rate": rate, "size": size, "wait": wait, "rtt": rtt}, self._changed)
        self._box: Any = ipywidgets.VBox([self.panel, self.plot])

    async def __aenter__(self) -> BatchingExplorer:
        if self._task is not None:
            raise InvalidState("an explorer at rest", "one that runs", "leave its `async with` first")
        self._lab.check()
        self.panel.show({})  # removes the counts of an earlier run
        self._task = asyncio.create_task(self._run(), name="batching explorer")
        self.plot.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        task, self._task = self._task, None
        self.plot.stop()
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled() and (error := task.exception()) and exc_info[0] is None:
                raise error

    async def wait(self, seconds: float) -> bool:
        """Wait until the time is over or the reader presses Stop.

        Parameters
        ----------
        seconds : float
            Seconds to wait at most.

        Returns
        -------
        bool
            True when Stop was pressed.

        Raises
        ------
        RtlabError
            If the connection, the server or the proxy fails meanwhile.
        """
        if self._task is None:
            raise InvalidState("a running explorer", "one at rest", "wait inside its `async with`")
        return await wait_until_stopped(self.plot.stopped, seconds, self._task)

    def set(self, **settings: int) -> None:
        """Set sliders from code: any of ``rate``, ``size``, ``wait`` and ``rtt``.

        Raises
        ------
        ValueError
            For a value that the slider does not have.
        """
        self.panel.apply(settings)

    def figure(self) -> Figure:
        """Return the static figure of the run."""
        return self.plot.figure(title=self.plot.title)

    def _changed(self, settings: Mapping[str, int]) -> None:
        if self._load is not None:
            self._load.set(settings["rate"], settings["size"], settings["wait"] / 1000)
            self.recorder.mark(
                "setting", "{rate}/s, B {size}, T {wait} ms, {rtt} ms round trip".format(**settings)
            )
        self._rtt_wanted.set()

    async def _run(self) -> None:
        lab, panel = self._lab, self.panel
        try:
            await lab.faults.rtt(panel.settings["rtt"])
            async with WebSocketConnection(lab.faults.ws_url, max_reconnect_attempts=0) as conn:
                self._load = BatchingLoad(
                    conn, lambda window: MessageBatcher(conn, window=window), lab.pids[0], self.recorder
                )
                self._changed(panel.settings)
                panel.status, panel.running = "running", True
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._load.run())
                    group.create_task(self._look(self._load))
                    group.create_task(self._make_round_trip())
                    group.create_task(_fail_when_lost(conn))
        except ExceptionGroup as errors:  # the first is enough
            panel.status = f"ended: {errors.exceptions[0]}"
            raise errors.exceptions[0] from None
        finally:
            self._load = None
            panel.running = False
            if panel.status == "running":
                panel.status = "ended; run the cell again"
            await asyncio.shield(_undo(lab))

    async def _look(self, load: BatchingLoad) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            counts = load.counts()
            self.panel.show(
                {
                    "messages": counts.messages,
                    "frames_per_s": counts.frames_per_s,
                    "bytes_per_s": counts.bytes_per_s,
                    "per_frame": counts.per_frame,
                    "delay_ms": 1e3 * counts.delay,
                    "server_us": 1e6 * counts.server_cpu,
                    "client_us": 1e6 * counts.client_cpu,
                }
            )

    async def _make_round_trip(self) -> None:
        while True:
            await self._rtt_wanted.wait()
            self._rtt_wanted.clear()
            await self._lab.faults.rtt(self.panel.settings["rtt"])

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._box._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        return f"BatchingExplorer({self.panel!r})"


async def _fail_when_lost(conn: WebSocketConnection) -> None:
    """Raise when the connection ends: a batcher would only count its messages as unknown."""
    lost: asyncio.Future[Disconnected] = asyncio.get_running_loop().create_future()

    def ended(event: Disconnected) -> None:
        if not lost.done():
            lost.set_result(event)

    conn.on("disconnected", ended)
    try:
        event = await lost
    finally:
        conn.off("disconnected", ended)
    raise LabError(
        f"the explorer's connection was lost ({event.code} {event.reason}): "
        "`await lab.faults.restore()`, and run the cell again"
    )


async def _undo(lab: Lab) -> None:
    await lab.faults.rtt(0)
