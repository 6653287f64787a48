from __future__ import annotations

import pytest

from rtlab.bench.suites import mock as bench_mock
from rtlab.lab.lab import Lab
from rtlab.testing.mock.mock_script_steps import PeerScript


async def test_hours_are_compared_and_trips_are_counted(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"PAIRS": 2, "TRIPS": 20, "MORE": 2, "HOURS": 2}.items():
        monkeypatch.setattr(bench_mock, name, value)
    trips, ratio, hour, different = await bench_mock.run(Lab.start)
    assert trips.value > 0
    assert trips.peer_value > 0
    assert ratio.peer_value == 50
    assert hour.value > 0
    assert different.value == 0


def test_an_hour_that_differs_is_seen(monkeypatch: pytest.MonkeyPatch):
    hours = iter([[("connected", 0.0, None)], [("connected", 0.1, None)]])
    monkeypatch.setattr(bench_mock, "hour_of_reconnects", lambda script: next(hours))
    assert bench_mock._hours(1)[1] == 1


def test_an_hour_holds_what_happened():
    names = {name for name, _, _ in bench_mock.hour_of_reconnects(PeerScript().pause(600).close(1012))}
    assert names == {"connected", "disconnected", "reconnecting"}
