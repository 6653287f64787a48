"""The fault panel: what its controls do to the proxy, and what nonsense does not."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.errors import RtlabError
from rtlab.faults.profiles import load_profiles
from rtlab.measure.recorder import Recorder
from rtlab.widgets.fault_panel import FaultPanel


class Spy:
    """Notes what is asked of it."""

    def __init__(self):
        self.asked = []
        self.fail = None
        self.broken = ""

    @property
    def profiles(self):
        return load_profiles()

    def __getattr__(self, name):
        async def note(*args, **options):
            await asyncio.sleep(0)
            if self.fail is not None:
                raise self.fail
            if name == self.broken:
                raise RtlabError("no such toxic")
            self.asked.append((name, *args, *options.values()))

        return note


@pytest.fixture
def spy():
    return Spy()


async def say(panel, content):
    panel._handle_custom_msg(content, [])
    await asyncio.sleep(0)  # the message hops to this loop
    await panel.settled()


async def test_a_slider_replaces_the_former_fault(spy):
    panel = FaultPanel(spy)
    await say(panel, {"set": {"rtt": 120}})
    await say(panel, {"set": {"jitter": 20}})
    assert spy.asked == [("restore",), ("latency", 120, 0), ("restore",), ("latency", 120, 20)]
    assert panel.status == "delayed by 120 ± 20 ms"


async def test_a_profile_and_sliders_exclude_each_other(spy):
    panel = FaultPanel(spy)
    await say(panel, {"set": {"rtt": 120}})
    await say(panel, {"set": {"profile": "3g"}})
    assert (panel.state["rtt"], panel.state["profile"]) == (0, "3g")
    await say(panel, {"set": {"rtt": 10}})
    assert (panel.state["rtt"], panel.state["profile"]) == (10, "")


async def test_the_cable_is_pulled_and_plugged_in_again(spy):
    recorder = Recorder()
    panel = FaultPanel(spy, recorder)
    await say(panel, {"action": "cable"})
    assert panel.state["pulled"]
    assert spy.asked[-1] == ("blackhole",)
    await say(panel, {"action": "cable"})
    assert not panel.state["pulled"]
    assert spy.asked[-1] == ("restore",)
    assert [mark.kind for mark in recorder.marks] == ["fault", "fault"]


async def test_changes_that_come_together_build_on_each_other(spy):
    panel = FaultPanel(spy)
    for content in ({"set": {"rtt": 50}}, {"set": {"jitter": 5}}, {"action": "cable"}, {"action": "cable"}):
        panel._handle_custom_msg(content, [])
    await asyncio.sleep(0)
    await panel.settled()
    assert panel.state == {"rtt": 50, "jitter": 5, "profile": "", "pulled": False}
    assert spy.asked[-2:] == [("restore",), ("latency", 50, 5)]


async def test_a_change_that_fails_half_way_shows_what_is_left(spy):
    panel = FaultPanel(spy)
    await say(panel, {"set": {"rtt": 50}})
    spy.broken = "latency"
    await say(panel, {"set": {"rtt": 80}})
    assert panel.tone == "bad"
    assert panel.state["rtt"] == 0  # restored, and not delayed again


async def test_cut_and_restore(spy):
    panel = FaultPanel(spy)
    await say(panel, {"set": {"rtt": 50}})
    await say(panel, {"action": "cut"})
    await say(panel, {"action": "restore"})
    assert spy.asked[-2:] == [("cut",), ("restore",)]
    assert panel.state["rtt"] == 0


@pytest.mark.parametrize(
    "content",
    [
        {"set": {"rtt": -1}},
        {"set": {"rtt": 301}},
        {"set": {"rtt": "fast"}},
        {"set": {"rtt": float("nan")}},
        {"set": {"rtt": True}},
        {"set": {"profile": "warp"}},
        {"set": {"profile": []}},
        {"set": {"pulled": True}},
    ],
)
async def test_values_outside_the_controls_are_explained_and_change_nothing(spy, content):
    panel = FaultPanel(spy)
    before = dict(panel.state)
    await say(panel, content)
    assert (panel.tone, panel.state, spy.asked) == ("bad", before, [])


@pytest.mark.parametrize("content", [{}, {"action": "fly"}, {"set": 3}, [], "x", None])
async def test_other_messages_are_ignored(spy, content):
    panel = FaultPanel(spy)
    await say(panel, content)
    assert (panel.tone, spy.asked) == ("quiet", [])


async def test_a_proxy_that_fails_is_reported(spy):
    panel = FaultPanel(spy)
    spy.fail = RtlabError("the proxy is gone")
    await say(panel, {"action": "cut"})
    assert "the proxy is gone" in panel.status


def test_its_repr_has_no_address(spy):
    assert repr(FaultPanel(spy)) == "FaultPanel()"
