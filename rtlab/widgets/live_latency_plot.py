"""The live plot: samples go to a canvas in the browser, and never faster than it draws them."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, Final, cast

import anywidget
import traitlets

from rtlab.client.user_callback_errors import call, check_callback
from rtlab.errors import InvalidState, RtlabError
from rtlab.figures.chart_style.palette import transport_of
from rtlab.measure.fault_marks import FaultMarks
from rtlab.widgets.binary_sample_packing import Packer
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.stop_button_wait import Stoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.figure import Figure

    from rtlab.measure.fault_marks import FaultEvents
    from rtlab.measure.recorder import Recorder

__all__ = ["LatencyPlot"]

_CREDIT: Final = 16
_PATIENCE: Final = 5.0


class _State(traitlets.Enum[str]):
    """The plot's state, which is not "running" any more once the plot's event loop is closed."""

    def get(self, obj: Any, cls: Any = None) -> str | None:
        plot = cast("LatencyPlot", obj)
        if plot.loop_has_ended:
            plot.stop()
        return super().get(obj, cls)


class LatencyPlot(Stoppable, anywidget.AnyWidget):
    """A live scatter of latency with running percentiles, event marks and the loop's late moments.

    Parameters
    ----------
    recorder : Recorder
        Holds the samples. The plot also starts the recorder's loop-lag ticker.
    window : float
        Width of the plot, in seconds.
    hz : float
        Batches per second, 1 to 30.
    title : str
        Shown above the plot.
    mode : {"latency", "transit", "lateness"}, optional
        What the vertical axis shows: received - intended, received - sent, or sent - intended.
        None: latency, but transit as soon as two transports are compared, because the
        sender's lateness is the same for all of them.
    order : {"received", "intended"}
        What the horizontal axis shows: when each message arrived, or when it should have been
        sent. In the second, a stall is a falling line: later messages were delayed by less of it.
    log_y : bool
        Whether the vertical axis is logarithmic.
    max_points : int
        How many points are drawn in one window at most; percentiles are always of all samples.
    faults : FaultClient, optional
        ``lab.faults``: what the fault proxy does is marked while the plot runs in ``async with``.
    on_stop : callable, optional
        Called without arguments, on the plot's event loop, when the reader presses Stop.

    Notes
    -----
    The browser acknowledges every eighth batch that it has drawn: an acknowledgement costs the
    kernel twice as much as sending a batch. At most 16 batches are unacknowledged; samples that
    come meanwhile are merged into the next batch. With a hidden tab, or without a browser, sending
    stops after 16 batches (then one probe every 5 s); nothing ever waits for an acknowledgement.

    A batch is made in three parts of a few tenths of a millisecond, and what is due on the event
    loop runs between them: made in one go, it adds more than twice as much to the loop's p99 lag
    (``rtlab bench observer``).

    A button's message may arrive on another thread, so every callback is moved to the event loop
    on which the plot was made or started.

    Keys, when the canvas has the focus: ← → step through the samples, Esc leaves them,
    Space pauses, L changes the axis, M what is shown, P shows p95, X orders by send time.

    Examples
    --------
    In a notebook::

        plot = LatencyPlot(recorder)
        display(plot)
        async with plot:
            await plot.wait(10)  # returns early when the reader presses Stop
        plot.figure()
    """

    _esm = page_files(
        *(
            "sample_ring_buffers.js",
            "axis_ticks.js",
            "event_marks.js",
            "point_layer.js",
            "plot_canvas.js",
            "plot_controls.js",
            "kernel_liveness.js",
            "keys_left_to_notebook.js",
            "scroll_into_view.js",
            "plot_widget.js",
        )
    )
    _css = page_files("plot.css")

    # Settings only: samples never become synced state.
    title = traitlets.Unicode("Latency").tag(sync=True)
    mode = traitlets.Enum(("latency", "transit", "lateness"), "latency").tag(sync=True)
    log_y = traitlets.Bool(False).tag(sync=True)
    p95 = traitlets.Bool(False).tag(sync=True)
    order = traitlets.Enum(("received", "intended"), "received").tag(sync=True)
    paused = traitlets.Bool(False).tag(sync=True)
    state = _State(("ready", "running", "stopping", "stopped"), "ready").tag(sync=True)
    window = traitlets.Float(10.0).tag(sync=True)

    def __init__(
        self,
        recorder: Recorder,
        *,
        window: float = 10.0,
        hz: float = 10.0,
        title: str = "Latency",
        mode: str | None = None,
        order: str = "received",
        log_y: bool = False,
        max_points: int = 2_000,
        faults: FaultEvents | None = None,
        on_stop: Callable[[], object] | None = None,
    ) -> None:
        if not (math.isfinite(window) and window > 0):
            raise ValueError(f"window is a positive number of seconds, got {window!r}")
        if not 1 <= hz <= 30:
            raise ValueError(f"hz is between 1 and 30 batches a second, got {hz!r}")
        if max_points < 100:
            raise ValueError(f"max_points is at least 100, got {max_points!r}")
        if on_stop is not None:
            check_callback(on_stop, "on_stop")
        self._timer: asyncio.Handle | None = None
        self._parts: Iterator[None] = iter(())
        super().__init__(window=window, title=title, mode=mode or "latency", order=order, log_y=log_y)
        self.recorder = recorder
        self.hz = hz
        self.stopped = asyncio.Event()
        self._on_stop: list[Callable[[], object]] = [] if on_stop is None else [on_stop]
        self._packer = Packer(recorder, window, max_points)
        self._mode_is_open = mode is None
        self._fault_marks = None if faults is None else FaultMarks(faults, recorder)
        self._sent = self._acked = 0
        self._sent_at = -math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_loop = LoopCallback()
        self.on_msg(self._from_any_thread)

    # Starting and stopping

    def start(self) -> None:
        """Start sending to the browser. Does nothing if the plot is running already.

        Raises
        ------
        InvalidState
            If no event loop is running.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise InvalidState("a running event loop", "none", "start the plot in a notebook cell") from None
        if self.loop_has_ended:
            self.stop()
        if self._timer is not None:
            return
        if self._loop not in (None, loop):
            self.stopped = asyncio.Event()  # the old one belongs to another loop
        self._loop = loop
        self._on_loop = LoopCallback()
        self.recorder.begin()
        self.stopped.clear()
        self.recorder.loop_lag.start(self)
        self.state = "running"
        self._timer = loop.call_soon(self._tick)

    def stop(self) -> None:
        """Stop sending; the browser still gets the last samples, at once or on Resume. Safe to repeat."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self.recorder.loop_lag.stop(self)
        self.state = "stopped"
        if not self.paused:
            self._send_batch()

    def close(self) -> None:
        """Stop, and remove the plot from the page. Safe to repeat."""
        if getattr(self, "_timer", None) is not None:  # the constructor may have failed before
            self.stop()
        super().close()

    @property
    def loop_has_ended(self) -> bool:
        """Whether the plot was still running when its event loop was closed."""
        # Traits are read before the constructor has set anything.
        loop = getattr(self, "_loop", None)
        return getattr(self, "_timer", None) is not None and loop is not None and loop.is_closed()

    async def __aenter__(self) -> LatencyPlot:
        if self._fault_marks is not None:
            await self._fault_marks.__aenter__()
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None:
            self.stopped.set()  # such as an interrupt: as after Stop, the run is incomplete
        try:
            if self._fault_marks is not None:
                await self._fault_marks.__aexit__(*exc_info)
        finally:
            self.stop()

    def count_sent(self, came: Sequence[int], planned: int) -> int:
        """Return how many numbered messages were sent in the run: all, or fewer when it ended early.

        Parameters
        ----------
        came : sequence of int
            The numbers that arrived, counted from 0.
        planned : int
            How many a whole run sends.

        Returns
        -------
        int
            `planned`; if Stop or an error ended the run, the messages up to the last one that came.

        Raises
        ------
        RtlabError
            If the run ended before any message came.

        Examples
        --------
        ::

            whole.found(numbers, of=plot.count_sent(numbers, 2000))
        """
        if self.state == "stopped" and not self.stopped.is_set():
            return planned
        if not came:
            raise RtlabError(f"the run of {self.title!r} ended before a message came: run its cell again")
        return max(came) + 1

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call `callback()` on the plot's event loop when the reader presses Stop; it is not awaited."""
        check_callback(callback, "on_stop")
        self._on_stop.append(callback)

    def figure(self, **options: Any) -> Figure:
        """Return the static matplotlib figure of the same data.

        Parameters
        ----------
        **options
            As in `rtlab.figures.latency_over_time.latency_figure`.
        """
        from rtlab.figures.latency_over_time import latency_figure

        settings: dict[str, Any] = {name: getattr(self, name) for name in ("mode", "order", "log_y", "title")}
        return latency_figure(self.recorder, **{**settings, **options})

    # Sending

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(1 / self.hz, self._tick)
        self._finish_batch()
        waiting = self._sent - self._acked
        silent_for = self.recorder.clock() - self._sent_at
        if not self.paused and (waiting < _CREDIT or silent_for > _PATIENCE):
            self._begin_batch()
            self._next_part(loop)

    def _next_part(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make one part of the batch, and let whatever is due by now run before the next."""
        for _ in self._parts:
            loop.call_later(0, self._next_part, loop)  # `call_soon` would come before timers that are due
            return

    def _finish_batch(self) -> None:
        """Make the parts of the batch that are left."""
        for _ in self._parts:
            pass

    def _send_batch(self, *, fresh: bool = False) -> None:
        """Send all that is new now, without a turn of the event loop between the parts."""
        self._begin_batch(fresh=fresh)
        self._finish_batch()

    def _begin_batch(self, *, fresh: bool = False) -> None:
        self._finish_batch()
        if self._mode_is_open and len(self._compared()) > 1:
            self.mode, self._mode_is_open = "transit", False
        self._parts = self._batch(fresh=fresh)

    def _batch(self, *, fresh: bool) -> Iterator[None]:
        """Make a batch and send it, in three parts."""
        if fresh:
            self._packer.rewind()
        running = self._timer is not None
        now = self.recorder.clock() if running else self._packer.newest()
        header, points = self._packer.pack(now)
        yield
        header |= self._packer.statistics(now)
        yield
        self._sent += 1
        self._sent_at = self.recorder.clock()
        self.send({"kind": "batch", "seq": self._sent, "fresh": fresh, **header}, [points])

    def _compared(self) -> set[str]:
        """Return the transports whose transit time is known."""
        found = self.recorder.series.values()
        return {transport_of(s.name) for s in found if not s.round_trip and s.no_clock is None} - {""}

    # Callbacks from the browser

    def _from_any_thread(self, _widget: object, content: object, _buffers: Sequence[memoryview]) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, message: dict[str, Any]) -> None:
        kind, seq = message.get("kind"), message.get("seq")
        if kind == "ack" and isinstance(seq, int):
            self._acked = max(self._acked, min(seq, self._sent))
        elif kind == "hello":
            # A view was opened, or the page was loaded again: batches under way are lost.
            self._acked = self._sent
            self._send_batch(fresh=True)
        elif kind == "set" and message.get("name") in ("mode", "log_y", "paused", "p95", "order"):
            self._mode_is_open = self._mode_is_open and message["name"] != "mode"
            with contextlib.suppress(traitlets.TraitError):
                self.set_trait(message["name"], message.get("value"))
            if message["name"] == "paused" and not self.paused and self._timer is None:
                self._send_batch()
        elif kind == "stop" and self.state == "running":
            self.state = "stopping"
            self.stopped.set()
            self._call_on_stop()

    def _call_on_stop(self) -> None:
        """Call all callbacks, even if one raises; raise their errors at the end."""
        outcomes = [call(callback) for callback in tuple(self._on_stop)]
        errors = [error for _, error in outcomes if error is not None]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("callbacks of Stop failed", errors)

    def __repr__(self) -> str:
        return f"LatencyPlot({self.title!r}, window={self.window:g})"
