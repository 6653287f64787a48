"""The recorded run: it tells its story on every panel with no socket, and can be made again."""

from __future__ import annotations

import math
import socket
from typing import Any

import pytest

from rtlab import ConnectionInspector, LatencyPlot, Replay, WireTimeline, data_path
from rtlab.experiments.recorded_outage import RECORDED, record_run


async def test_the_run_in_data_drives_plot_inspector_and_timeline_without_a_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a replay opened a socket")

    monkeypatch.setattr(socket, "socket", refused)
    replay = Replay(data_path(RECORDED), speed=math.inf)
    plot = LatencyPlot(recorder := replay.recorder())
    inspector, timeline = ConnectionInspector(replay), WireTimeline(replay)
    sent: dict[str, list[Any]] = {"plot": [], "inspector": [], "timeline": []}
    for name, panel in (("plot", plot), ("inspector", inspector), ("timeline", timeline)):
        panel.send = lambda content, buffers=None, name=name: sent[name].append(content)  # type: ignore[method-assign]
    async with plot:
        assert await replay.run()
    for panel in (inspector, timeline):
        panel._receive({"kind": "hello"})
    assert sum(batch["total"] for batch in sent["plot"][-1:]) == recorder.position > 150
    assert [mark[1] for batch in sent["plot"] for mark in batch["marks"] if mark[1] != "fault"] == [
        *("connected", "disconnected", "reconnecting", "connected", "disconnected")
    ]
    assert sent["inspector"][-1]["state"] == "Closed"
    assert [row["code"] for row in sent["inspector"][-1]["closes"]] == [1006, 1000]
    assert len(sent["timeline"][-1]["rows"]) == len(replay.recording)
    assert replay.about["command"] == f"python -m rtlab.experiments.recorded_outage --save data/{RECORDED}"


async def test_it_can_be_made_again() -> None:
    recording = await record_run(seconds=0.8)
    states = [entry.data for entry in recording.journal if entry.what == "state"]
    assert states[:3] == ["Disconnected", "Connecting", "Connected"]
    assert "Reconnecting" in states
    assert states[-1] == "Closed"
    assert {"fault", "reset", "message"} <= {entry.what for entry in recording.journal}
