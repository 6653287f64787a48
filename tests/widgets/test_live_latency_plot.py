from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rtlab.errors import InvalidState, RtlabError
from rtlab.faults.fault_trace import TraceEvent
from rtlab.measure.recorder import Recorder
from rtlab.widgets import LatencyPlot
from rtlab.widgets.binary_sample_packing import POINT


class Wire:
    """Stands where the browser is: keeps batches, and answers when it is told to."""

    def __init__(self, plot: LatencyPlot) -> None:
        self.plot = plot
        self.batches: list[dict[str, Any]] = []
        self.points: list[int] = []  # how many each batch holds
        self.arrived = asyncio.Event()
        plot.send = self._take  # type: ignore[method-assign]

    def _take(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        assert len(buffers) == 1
        self.batches.append(content)
        self.points.append(len(buffers[0]) // POINT.itemsize)
        self.arrived.set()

    def say(self, **message: Any) -> None:
        self.plot._handle_custom_msg(message, [])

    async def count(self, wanted: int) -> None:
        async with asyncio.timeout(20):
            while len(self.batches) < wanted:
                self.arrived.clear()
                await self.arrived.wait()


def make(**options: Any) -> tuple[LatencyPlot, Wire]:
    plot = LatencyPlot(Recorder(), **{"hz": 30, **options})
    return plot, Wire(plot)


async def test_without_a_browser_it_sends_sixteen_batches_and_goes_on() -> None:
    plot, wire = make()
    async with plot:
        await wire.count(16)
        assert await plot.wait(0.2) is False
        assert len(wire.batches) == 16
    assert len(wire.batches) == 17  # the last one, so that a browser that comes later is complete


async def test_every_acknowledgement_lets_the_next_batches_go() -> None:
    plot, wire = make()
    async with plot:
        for n in range(8, 32, 8):
            await wire.count(n)
            wire.say(kind="ack", seq=n)
        await wire.count(40)
        await plot.wait(0.1)
        assert [b["seq"] for b in wire.batches] == list(range(1, 41))


async def test_a_lost_acknowledgement_does_not_end_the_plot() -> None:
    now = [0.0]
    plot = LatencyPlot(Recorder(clock=lambda: now[0]), hz=30)
    wire = Wire(plot)
    async with plot:
        await wire.count(16)
        now[0] += 5.1
        await wire.count(17)
        await plot.wait(0.1)
        assert len(wire.batches) == 17


def falls_due_during(plot: LatencyPlot, part: str, action: Callable[[], object]) -> None:
    """Have a timer fall due while the plot makes this part of a batch."""
    loop, make_part = asyncio.get_running_loop(), getattr(plot._packer, part)

    def made(now: float) -> Any:
        loop.call_at(loop.time() - 1e-3, action)
        return make_part(now)

    setattr(plot._packer, part, made)


async def test_what_is_due_on_the_loop_runs_between_the_parts_of_a_batch() -> None:
    plot, wire = make(hz=1)  # the next batch does not come meanwhile
    sent: list[int] = []
    for part in ("pack", "statistics"):
        falls_due_during(plot, part, lambda: sent.append(len(wire.batches)))
    async with plot:
        await wire.count(1)
        assert sent == [0, 0]


@pytest.mark.parametrize("part", ["pack", "statistics"])
async def test_a_plot_that_is_stopped_between_two_parts_of_a_batch_loses_nothing(part: str) -> None:
    plot, wire = make(hz=1)  # the next batch does not come meanwhile
    plot.recorder.record("s", ts=plot.recorder.clock())
    falls_due_during(plot, part, plot.stop)
    plot.start()
    await wire.count(2)
    assert wire.points == [1, 0]  # what was begun, and the last batch
    assert [batch["seq"] for batch in wire.batches] == [1, 2]


async def test_a_series_may_begin_between_two_parts_of_a_batch() -> None:
    plot, wire = make()
    plot.recorder.record("sse", ts=plot.recorder.clock())
    falls_due_during(plot, "pack", lambda: plot.recorder.record("websocket", ts=plot.recorder.clock()))
    async with plot:
        await wire.count(2)
    assert wire.points[:2] == [1, 1]
    assert len(wire.batches[0]["stats"]) == 1


async def test_a_view_that_opens_gets_the_whole_window() -> None:
    plot, wire = make()
    plot.recorder.record("s", ts=plot.recorder.clock())
    wire.say(kind="hello")
    await wire.count(1)
    assert wire.batches[0]["fresh"]
    assert wire.batches[0]["total"] == 1


async def test_stop_ends_a_wait_early_and_calls_back_on_the_loop() -> None:
    called: list[threading.Thread] = []
    plot, wire = make(on_stop=lambda: called.append(threading.current_thread()))
    async with plot:
        # As JupyterLab's subshells do it: from another thread.
        await asyncio.to_thread(wire.say, kind="stop")
        assert await plot.wait(5) is True
        assert plot.state == "stopping"
        wire.say(kind="stop")
    assert plot.state == "stopped"
    assert called == [threading.current_thread()]
    async with plot:
        assert not plot.stopped.is_set()


async def test_pause_stops_the_sending_but_not_the_recording() -> None:
    plot, wire = make()
    async with plot:
        await wire.count(1)
        await asyncio.to_thread(wire.say, kind="set", name="paused", value=True)
        await plot.wait(0.02)
        assert plot.paused
        wire.say(kind="ack", seq=len(wire.batches))
        sent = len(wire.batches)
        await plot.wait(0.1)
        assert len(wire.batches) == sent
        wire.say(kind="set", name="paused", value=False)
        await wire.count(sent + 1)
        wire.say(kind="set", name="paused", value=True)
        await plot.wait(0.02)
        sent = len(wire.batches)
    assert len(wire.batches) == sent  # the end of the run does not move what the reader looks at
    wire.say(kind="set", name="paused", value=False)
    await wire.count(sent + 1)


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "set", "name": "mode", "value": "sideways"},
        {"kind": "set", "name": "paused", "value": "maybe"},
        {"kind": "set", "name": "recorder", "value": 1},
        {"kind": "ack", "seq": 10**9},
        {"kind": "ack", "seq": "x"},
        {"kind": "no such thing"},
        {},
        ["not", "a", "dict"],
    ],
)
async def test_nonsense_from_the_browser_changes_nothing(message: Any) -> None:
    plot, wire = make()
    async with plot:
        await wire.count(2)
        plot._handle_custom_msg(message, [])
        await plot.wait(0.05)
        assert (plot.mode, plot.paused, plot.log_y) == ("latency", False, False)
    assert [b["seq"] for b in wire.batches] == list(range(1, len(wire.batches) + 1))


async def test_the_tickers_owner_stops_it() -> None:
    plot, _ = make()
    async with plot:
        assert plot.recorder.loop_lag.running
    assert not plot.recorder.loop_lag.running
    async with plot.recorder:
        async with plot:
            pass
        assert plot.recorder.loop_lag.running  # the recorder's own


async def test_it_starts_and_stops_any_number_of_times() -> None:
    plot, wire = make()
    plot.start()
    plot.start()
    plot.stop()
    plot.stop()
    assert len(wire.batches) == 1
    assert len(asyncio.all_tasks()) == 1


def test_it_starts_only_in_a_loop() -> None:
    plot = LatencyPlot(Recorder())
    with pytest.raises(InvalidState, match="start the plot in a notebook cell"):
        plot.start()


@pytest.mark.parametrize(
    "bad", [{"window": 0}, {"window": float("nan")}, {"hz": 0}, {"hz": 1000}, {"max_points": 1}]
)
def test_senseless_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got"):
        LatencyPlot(Recorder(), **bad)


def test_its_text_is_the_same_in_every_run() -> None:
    bundle = LatencyPlot(Recorder(), title="Feed", window=5)._repr_mimebundle_()
    assert bundle is not None
    assert bundle[0]["text/plain"] == "LatencyPlot('Feed', window=5)"


def test_samples_never_become_synced_state() -> None:
    recorder = Recorder()
    recorder.record("s", ts=0.0)
    plot = LatencyPlot(recorder)
    settings = {name for name in plot.keys if not name.startswith("_")}
    assert settings <= {
        "title",
        "mode",
        "log_y",
        "p95",
        "order",
        "paused",
        "state",
        "window",
        "layout",
        "tabbable",
        "tooltip",
    }


def test_the_static_figure_has_the_same_settings() -> None:
    recorder = Recorder(clock=lambda: 1.0)
    recorder.record("websocket", ts=0.999, sent=0.9995)
    figure = LatencyPlot(recorder, title="Echo", mode="transit", log_y=True).figure()
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "Echo"
    assert axes.get_ylabel() == "transit, sent to received (ms)"
    assert axes.get_yscale() == "log"


def test_two_transports_are_compared_by_their_transit_unless_somebody_chose() -> None:
    def sampled(**options: Any) -> LatencyPlot:
        recorder = Recorder(clock=lambda: 1.0)
        plot, _ = (made := LatencyPlot(recorder, **options)), Wire(made)
        recorder.record("websocket", ts=0.999, sent=0.9995)
        plot._send_batch()
        assert plot.mode == options.get("mode", "latency")
        recorder.add_series("sse via nginx")
        return plot

    plot = sampled()
    plot._send_batch()
    assert plot.mode == "transit"
    plot = sampled(mode="lateness")
    plot._send_batch()
    assert plot.mode == "lateness"
    plot = sampled()
    plot._receive({"kind": "set", "name": "mode", "value": "lateness"})
    plot._send_batch()
    assert plot.mode == "lateness"


async def test_time_counts_from_the_run_and_not_from_the_cell_that_made_the_recorder() -> None:
    now = [5.0]
    recorder = Recorder(clock=lambda: now[0])
    plot = LatencyPlot(recorder)
    Wire(plot)
    now[0] = 9.0
    async with plot:
        assert recorder.started == 9.0
    recorder.record("websocket", ts=9.0)
    now[0] = 20.0
    async with plot:
        assert recorder.started == 9.0  # what was recorded keeps its place


async def test_faults_mark_themselves_while_the_plot_runs() -> None:
    class Trace:
        asked = 0

        async def events(self, since: int = 0) -> list[Any]:
            self.asked += 1
            if self.asked == 1:
                return []
            return (
                [TraceEvent(n=1, t=2.0, kind="toxic_added", toxic="cut", detail="cut")] if since < 2 else []
            )

    recorder = Recorder()
    plot = LatencyPlot(recorder, faults=Trace())  # type: ignore[arg-type]
    Wire(plot)
    async with plot:
        pass
    assert [(mark.kind, mark.text) for mark in recorder.marks] == [("fault", "toxic added: cut")]


async def test_two_plots_of_one_recorder_share_its_ticker() -> None:
    recorder = Recorder()
    one, two = LatencyPlot(recorder), LatencyPlot(recorder)
    for plot in (one, two):
        Wire(plot)
        plot.start()
    one.stop()
    one.stop()
    assert recorder.loop_lag.running
    two.stop()
    assert not recorder.loop_lag.running


async def test_neither_a_plot_nor_its_recorder_stops_the_other_ones_ticker() -> None:
    recorder = Recorder()
    plot = LatencyPlot(recorder)
    Wire(plot)
    async with recorder:
        plot.start()
        plot.stop()
        assert recorder.loop_lag.running
        plot.start()
    assert recorder.loop_lag.running
    plot.stop()
    assert not recorder.loop_lag.running


async def test_closing_a_running_plot_stops_its_timer_and_the_ticker() -> None:
    plot, wire = make()
    plot.start()
    await wire.count(1)
    plot.close()
    plot.close()
    sent = len(wire.batches)
    assert plot.state == "stopped"
    assert not plot.recorder.loop_lag.running
    await asyncio.sleep(0.1)
    assert len(wire.batches) == sent


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_callback_of_stop_that_raises_hides_no_other(error: type[BaseException]) -> None:
    called: list[str] = []
    seen: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context["exception"]))

    def fails() -> None:
        raise error("mine")

    for failing in (1, 2):
        plot, wire = make(on_stop=fails)
        if failing == 2:
            plot.on_stop(fails)
        plot.on_stop(lambda: called.append("last"))
        async with plot:
            wire.say(kind="stop")
            assert await plot.wait(5)
            await asyncio.sleep(0)
        assert len(called) == len(seen) == failing
    assert isinstance(seen[0], error)
    assert isinstance(seen[1], BaseExceptionGroup)
    assert len(seen[1].exceptions) == 2


async def test_a_callback_of_stop_that_nobody_would_await_is_an_error() -> None:
    async def later() -> None: ...

    seen: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context["exception"]))
    plot, wire = make(on_stop=lambda: later())
    for offer in (plot.on_stop, lambda callback: make(on_stop=callback)):
        with pytest.raises(TypeError, match="on_stop is called and not awaited"):
            offer(later)
    async with plot:
        wire.say(kind="stop")
        assert await plot.wait(5)
        await asyncio.sleep(0)
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this
    assert [type(error) for error in seen] == [TypeError]


def test_a_plot_whose_loop_is_closed_has_stopped_and_can_start_on_another() -> None:
    plot, wire = make()

    async def run() -> None:
        plot.start()
        sent = len(wire.batches)
        await wire.count(sent + 1)
        assert plot.state == "running"
        assert plot.recorder.loop_lag.running
        wire.say(kind="stop")
        assert await plot.wait(5)

    for _ in range(2):
        wire.arrived = asyncio.Event()
        asyncio.run(run())
        assert not plot.recorder.loop_lag.running
        assert plot.state == "stopped"


async def test_a_run_that_ended_early_has_sent_up_to_the_last_that_came() -> None:
    plot, wire = make(title="Cuts")
    async with plot:
        pass
    assert plot.count_sent([0, 2], 5) == 5  # two were lost

    async with plot:
        wire.say(kind="stop")
        await plot.wait(5)
    assert plot.count_sent([0, 2, 1], 5) == 3
    with pytest.raises(RtlabError, match="'Cuts' ended before a message came: run its cell again"):
        plot.count_sent([], 5)


async def test_an_error_ends_the_run_as_stop_does() -> None:
    plot, _ = make()
    with pytest.raises(asyncio.CancelledError):
        async with plot:
            raise asyncio.CancelledError
    assert plot.count_sent([0], 5) == 1

    fresh, _ = make()  # interrupted before it began
    assert fresh.count_sent([0], 5) == 1
