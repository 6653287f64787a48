"""The fault proxy's trace as marks: each once, at the proxy's own time."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.faults.fault_trace import TraceEvent
from rtlab.faults.seeded_fault_timeline import FaultScript
from rtlab.lab.lab import Lab
from rtlab.measure.fault_marks import FaultMarks
from rtlab.measure.recorder import Recorder


async def test_actions_and_their_victims_are_marked_where_they_struck():
    async with Lab(faults=True) as lab, WebSocketConnection(lab.faults.ws_url) as conn:
        await lab.faults.latency(1)  # before: not ours to tell
        recorder = Recorder()
        async with FaultMarks(lab.faults, recorder, interval=0.01):
            began = time.monotonic()
            await conn.request("echo")
            await lab.faults.bandwidth(100)
            await lab.faults.cut()
            ended = time.monotonic()
        marks = list(recorder.marks)
        assert [mark.kind for mark in marks] == ["fault", "fault"]
        assert "toxic added: bandwidth" in marks[0].text
        assert "connection 1 ended (rst: cut)" in marks[1].text
        assert all(began <= mark.time <= ended for mark in marks)


async def test_a_script_marks_its_steps():
    async with Lab(faults=True) as lab:
        recorder = Recorder()
        async with FaultMarks(lab.faults, recorder), asyncio.timeout(5):
            await lab.faults.play(FaultScript().mark(0.0, "look here").mark(0.05, "and here"))
            while not any("script ended" in mark.text for mark in recorder.marks):
                await asyncio.sleep(0.01)
        texts = [mark.text for mark in recorder.marks]
        assert [word for text in texts for word in ("look here", "and here") if word in text] == [
            "look here",
            "and here",
        ]


async def test_each_event_is_marked_once_and_only_what_matters():
    class Scripted:
        async def events(self, since=0):
            kinds = ("opened", "toxic_added", "affected", "ended", "released")
            return [
                TraceEvent(n, float(n), kind, "lab", detail=kind)
                for n, kind in enumerate(kinds)
                if n >= since
            ]

    recorder = Recorder()
    marks = FaultMarks(Scripted(), recorder)
    await marks._look()
    await marks._look()
    assert [mark.text for mark in recorder.marks] == [
        "toxic added: toxic_added",
        "connection 0 ended (ended)",
    ]


def test_a_bad_interval_is_refused():
    with pytest.raises(ValueError, match="interval > 0"):
        FaultMarks(None, Recorder(), interval=0)  # type: ignore[arg-type]


async def test_a_proxy_that_dies_ends_the_marks_and_nothing_else():
    async with Lab(faults=True) as lab:
        recorder = Recorder()
        async with asyncio.timeout(20), FaultMarks(lab.faults, recorder, interval=0.01) as marks:
            await lab.faults.latency(1)
            while not any("latency" in mark.text for mark in recorder.marks):
                await asyncio.sleep(0.01)
            psutil.Process(lab.pids[1]).kill()
            following = marks._task
            assert following is not None
            await following  # it ends by itself, without an error
