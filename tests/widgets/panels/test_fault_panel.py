"""The fault panel: what its controls do to the proxy, and what nonsense does not."""

# pyright: reportPrivateUsage=false, reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtlab import Lab, WebSocketConnection
from rtlab.errors import RtlabError
from rtlab.faults.network_profiles import NetworkProfile, load_profiles
from rtlab.measure.recorder import Recorder
from rtlab.widgets.panels.active_faults_description import NOTHING
from rtlab.widgets.panels.fault_panel import FaultPanel

#: What the button of the cable sends, depending on what it shows.
PULL, PLUG_IN = {"action": "cable", "pulled": True}, {"action": "cable", "pulled": False}


class Spy:
    """A proxy's toxics without a proxy; notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.fail: Exception | None = None
        self.broken = ""
        self.toxics: list[Any] = []

    @property
    def profiles(self) -> dict[str, NetworkProfile]:
        return load_profiles()

    async def status(self) -> dict[str, Any]:
        await self._note("status")
        return {"enabled": True, "toxics": list(self.toxics)}

    async def latency(self, ms: float, *, jitter: float = 0) -> None:
        await self._note("latency", ms, jitter)
        await self.remove("latency_downstream")
        self.add("latency", "downstream", latency=ms, jitter=jitter)

    async def profile(self, name: str) -> None:
        await self._note("profile", name)
        self.toxics += self.profiles[name].toxics()

    async def blackhole(self) -> None:
        await self._note("blackhole")
        for stream in ("upstream", "downstream"):
            self.add("blackhole", stream)

    async def remove(self, name: str) -> None:
        await asyncio.sleep(0)
        self.toxics = [toxic for toxic in self.toxics if toxic["name"] != name]

    async def cut(self) -> None:
        await self._note("cut")

    async def restore(self) -> None:
        await self._note("restore")
        self.toxics = []

    def add(self, kind: str, stream: str, **attributes: float) -> None:
        name = f"{kind}_{stream}"
        self.toxics.append({"type": kind, "name": name, "stream": stream, "attributes": attributes})

    async def _note(self, name: str, *args: object) -> None:
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail
        if name == self.broken:
            raise RtlabError("no such toxic")
        if name != "status":
            self.asked.append((name, *args))


@pytest.fixture
def spy() -> Spy:
    return Spy()


async def say(panel: FaultPanel, content: object) -> None:
    panel._handle_custom_msg(content, [])
    await asyncio.sleep(0)  # the message hops to this loop
    await panel.settled()


async def test_a_slider_replaces_the_former_fault(spy: Spy) -> None:
    panel = FaultPanel(spy)
    await say(panel, {"set": {"rtt": 120}})
    await say(panel, {"set": {"jitter": 20}})
    assert spy.asked == [("latency", 120, 0), ("latency", 120, 20)]
    assert panel.status == "delayed by 120 ± 20 ms"


async def test_a_profile_and_sliders_exclude_each_other(spy: Spy) -> None:
    panel = FaultPanel(spy)
    await say(panel, {"set": {"rtt": 120}})
    await say(panel, {"set": {"profile": "3g"}})
    assert (panel.state["rtt"], panel.state["profile"]) == (0, "3g")
    await say(panel, {"set": {"rtt": 10}})
    assert (panel.state["rtt"], panel.state["profile"]) == (10, "")


async def test_the_cable_is_pulled_and_plugged_in_again(spy: Spy) -> None:
    recorder = Recorder()
    panel = FaultPanel(spy, recorder)
    for _ in range(2):  # a double click: the second shows the same as the first
        await say(panel, PULL)
        assert panel.state["pulled"]
    assert spy.asked == [("blackhole",)]
    await say(panel, PLUG_IN)
    assert not panel.state["pulled"]
    assert spy.toxics == []
    assert [mark.kind for mark in recorder.marks] == ["fault", "fault"]


async def test_changes_that_come_together_build_on_each_other(spy: Spy) -> None:
    panel = FaultPanel(spy)
    for content in ({"set": {"rtt": 50}}, {"set": {"jitter": 5}}, PULL, PLUG_IN):
        panel._handle_custom_msg(content, [])
    await asyncio.sleep(0)
    await panel.settled()
    assert panel.state == {**NOTHING, "rtt": 50, "jitter": 5}
    assert spy.asked == [("latency", 50, 0), ("latency", 50, 5), ("blackhole",)]


async def test_a_change_that_fails_half_way_shows_what_is_left(spy: Spy) -> None:
    panel = FaultPanel(spy)
    await say(panel, {"set": {"rtt": 50}})
    spy.broken = "latency"
    await say(panel, {"set": {"rtt": 80}})
    assert panel.tone == "bad"
    assert panel.state["rtt"] == 50  # what the proxy still does


async def test_cut_and_restore(spy: Spy) -> None:
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
async def test_values_outside_the_controls_are_explained_and_change_nothing(
    spy: Spy, content: object
) -> None:
    panel = FaultPanel(spy)
    before = dict(panel.state)
    await say(panel, content)
    assert (panel.tone, panel.state, spy.asked) == ("bad", before, [])


@pytest.mark.parametrize("content", [{}, {"action": "fly"}, {"set": 3}, [], "x", None])
async def test_other_messages_are_ignored(spy: Spy, content: object) -> None:
    panel = FaultPanel(spy)
    await say(panel, content)
    assert (panel.tone, spy.asked) == ("quiet", [])


async def test_a_proxy_that_fails_is_reported(spy: Spy) -> None:
    panel = FaultPanel(spy)
    spy.fail = RtlabError("the proxy is gone")
    await say(panel, {"action": "cut"})
    assert "the proxy is gone" in panel.status


async def test_it_shows_the_faults_of_others(spy: Spy) -> None:
    panel = FaultPanel(spy)
    await spy.blackhole()
    await say(panel, {"action": "look"})
    assert panel.state["pulled"]
    assert panel.status.startswith("the cable is pulled")
    await spy.restore()
    await say(panel, {"action": "look"})
    assert (panel.state, panel.status) == (dict(NOTHING), "nothing is in the way")


async def test_a_control_leaves_what_a_cell_has_done(spy: Spy) -> None:
    panel = FaultPanel(spy)
    await spy.blackhole()
    spy.add("hang_upgrade", "upstream")
    await say(panel, {"set": {"rtt": 30}})
    await say(panel, {"set": {"profile": "3g"}})
    assert panel.state["pulled"]
    assert panel.state["others"] == ["hang upgrade upstream"]
    await say(panel, PLUG_IN)  # the cell's black hole
    assert not panel.state["pulled"]
    assert panel.state["others"] == ["hang upgrade upstream"]


async def test_every_look_is_answered_also_when_the_proxy_has_gone(
    spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = FaultPanel(spy)
    told: list[object] = []
    monkeypatch.setattr(panel, "send", told.append)
    spy.fail = RtlabError("gone")
    await say(panel, {"action": "look"})
    assert (panel.tone, told) == ("bad", [{"kind": "looked"}])
    spy.fail = None
    await say(panel, {"action": "look"})
    assert (panel.tone, panel.status) == ("quiet", "nothing is in the way")


async def test_a_look_does_not_wipe_out_what_was_just_said(spy: Spy) -> None:
    panel = FaultPanel(spy)
    await say(panel, {"action": "cut"})
    await say(panel, {"action": "look"})
    assert panel.status == "every connection was cut"
    await say(panel, {"set": {"rtt": -1}})
    await say(panel, {"action": "look"})
    assert panel.tone == "bad"


async def test_the_readers_hand_ends_the_wait(spy: Spy) -> None:
    panel = FaultPanel(spy)
    waiting = asyncio.create_task(panel.wait_for(pulled=True, patience=20))
    while not panel.request:
        await asyncio.sleep(0)
    await say(panel, PULL)
    async with asyncio.timeout(5):
        assert await waiting == "reader"
    assert panel.request == ""


async def test_a_scripted_hand_takes_the_same_way(spy: Spy) -> None:
    panel = FaultPanel(spy)
    async with asyncio.timeout(5):
        assert await panel.wait_for(pulled=True, patience=0.05) == "script"
        assert panel.state["pulled"]
        assert await panel.wait_for(pulled=False, patience=0.05) == "script"
    assert spy.asked == [("blackhole",)]
    assert spy.toxics == []


async def test_a_reader_who_pulls_as_the_scripts_hand_begins_is_not_undone(spy: Spy) -> None:
    panel = FaultPanel(spy)
    came, ended = asyncio.Event(), asyncio.Event()
    becomes = panel._becomes

    async def last_moment(pulled: bool, patience: float, stop: asyncio.Event | None) -> bool:
        found = await becomes(pulled, patience, stop)
        if not came.is_set():
            came.set()
            await ended.wait()
        return found

    panel._becomes = last_moment  # type: ignore[method-assign]
    waiting = asyncio.create_task(panel.wait_for(pulled=True, patience=0.0))
    async with asyncio.timeout(20):
        await came.wait()  # the reader's time is over, and nobody has moved the cable
        await say(panel, PULL)
        ended.set()
        assert await waiting == "reader"
    assert panel.state["pulled"]
    assert spy.asked == [("blackhole",)]


async def test_what_is_so_already_is_not_waited_for(spy: Spy) -> None:
    await spy.blackhole()
    async with asyncio.timeout(5):
        assert await FaultPanel(spy).wait_for(pulled=True, patience=60) == "reader"


async def test_a_poll_that_is_under_way_is_older_than_the_wait(spy: Spy) -> None:
    panel = FaultPanel(spy)
    answered, answer = asyncio.Event(), spy.status

    async def slow_status() -> dict[str, Any]:
        status = await answer()
        await answered.wait()
        return status

    spy.status = slow_status  # pyright: ignore[reportAttributeAccessIssue]
    panel._handle_custom_msg({"action": "look"}, [])
    for _ in range(3):
        await asyncio.sleep(0)  # the poll has read the state, and its answer is under way
    await spy.blackhole()
    waiting = asyncio.create_task(panel.wait_for(pulled=False, patience=20))
    await asyncio.sleep(0)
    answered.set()
    async with asyncio.timeout(5):
        while not panel.request:
            await asyncio.sleep(0)
        assert (panel.state["pulled"], waiting.done()) == (True, False)
        await say(panel, PLUG_IN)
        assert await waiting == "reader"
    assert panel.state == NOTHING


async def test_stop_ends_the_wait(spy: Spy) -> None:
    panel, stop = FaultPanel(spy), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    async with asyncio.timeout(5):
        assert await panel.wait_for(pulled=True, patience=60, stop=stop) == "stopped"
    assert spy.asked == []


async def test_a_hand_that_moves_nothing_is_an_error(spy: Spy) -> None:
    panel = FaultPanel(spy)
    spy.broken = "blackhole"
    with pytest.raises(RtlabError, match="cannot be moved"):
        await panel.wait_for(pulled=True, patience=0.01)
    assert panel.request == ""


async def test_it_mirrors_a_real_proxy() -> None:
    async with Lab(faults=True) as lab:
        panel = FaultPanel(lab.faults)
        async with lab.faults.rtt(100), lab.faults.hang_upgrade():
            await panel.look()
            assert (panel.state["rtt"], len(panel.state["others"])) == (100, 1)
            await panel.change(rtt=40)
            assert (panel.state["rtt"], len(panel.state["others"])) == (40, 1)
        await panel.change(profile="3g")
        assert panel.state["profile"] == "3g"
        async with lab.faults.down():
            await panel.look()
            assert panel.state["down"]
        await panel.restore()
        assert panel.state == NOTHING
    panel._handle_custom_msg({"action": "look"}, [])
    await asyncio.sleep(0)
    await panel.settled()
    assert "has the lab been stopped?" in panel.status


async def test_a_slider_leaves_the_connections_of_a_pulled_cable_alone() -> None:
    """It took the black hole away for a moment, and a connection that had lost bytes was reset."""
    async with Lab(faults=True) as lab, WebSocketConnection(lab.faults.ws_url) as conn:
        lost: list[object] = []
        conn.on("disconnected", lost.append)
        panel = FaultPanel(lab.faults)
        await panel.change(pulled=True)
        await conn.send("chat", "into the dark")
        async with asyncio.timeout(5):
            while not any(event.kind == "affected" for event in await lab.faults.events()):
                await asyncio.sleep(0.01)
        await panel.change(rtt=50)
        events = await lab.faults.events()
        assert not [event for event in events if event.kind == "ended"]
        assert not lost


def test_its_repr_has_no_address(spy: Spy) -> None:
    assert repr(FaultPanel(spy)) == "FaultPanel()"
