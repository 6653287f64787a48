"""Scripts: drawn from a seed, checked before they run, replayed exactly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.faults.errors import FaultError
from rtlab.faults.fault_trace import TraceEvent, fingerprint
from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.proxy.proxy_collection import Collection
from rtlab.faults.script_player import Player
from rtlab.faults.seeded_fault_timeline import FaultScript, ScriptStep
from rtlab.resources import data_path
from tests.faults.conftest import eventually

SLOW = {"do": "add", "toxic": "latency", "name": "slow", "attributes": {"latency": 1}}
GONE = {"at": 1, "do": "remove", "name": "slow"}
EXAMPLES = sorted(data_path("fault_scripts").glob("*.json"))


def test_a_script_is_written_in_python_or_json() -> None:
    script = (
        FaultScript(name="both", seed=3)
        .add((1, 2), "latency", stream="both", lasting=1.5, latency=200, jitter=50)
        .cut(4, "fin")
        .down(5, lasting=(0.5, 1))
        .mark(6, "look here")
        .restore(8)
    )
    text = json.dumps(script.to_dict())
    again = FaultScript.from_dict(json.loads(text))
    assert again == script
    assert again.timeline() == script.timeline()
    assert '"for": 1.5' in text


def test_a_timeline_is_sorted_and_drawn_from_the_seed() -> None:
    def script(seed: int) -> FaultScript:
        return FaultScript(seed=seed).cut(9).add((0, 8), "stall", lasting=(0.1, 0.5))

    first = script(1).timeline()
    assert [a.at for a in first] == sorted(a.at for a in first)
    assert [(a.step.do, a.undo) for a in first] == [("add", False), ("add", True), ("cut", False)]
    assert 0.1 <= first[1].at - first[0].at <= 0.5
    assert script(1).timeline() == first
    assert script(2).timeline() != first


def test_steps_repeat() -> None:
    script = FaultScript().then(ScriptStep(do="cut", at=1, every=0.5, times=3))
    assert [a.at for a in script.timeline()] == [1.0, 1.5, 2.0]
    assert script.duration == 2.0


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], "script: Expected `object`, got `array`"),
        ({"steps": [{"at": 1}]}, "missing required field `do`"),
        ({"steps": [{"do": "explode"}]}, "Invalid enum value 'explode'"),
        ({"steps": [{"do": "cut", "att": 1}]}, "unknown field `att`"),
        ({"steps": [{"do": "cut", "at": -1}]}, "times must be from 0"),
        ({"steps": [{"do": "cut", "at": 1e9}]}, "times must be from 0"),
        ({"steps": [{"do": "cut", "for": 1}]}, '"for" goes with add and down'),
        ({"steps": [{"do": "remove"}]}, "remove needs the name"),
        ({"steps": [{"do": "add", "toxic": "nope"}]}, "invalid toxic type"),
        ({"steps": [{"do": "add", "toxic": "bandwidth"}]}, "missing required field: rate"),
        ({"steps": [{"do": "cut", "every": 0.001, "times": 10**9}]}, "more than 10000 actions"),
        # What contradicts itself
        ({"steps": [{"do": "cut", "at": [3, 1]}]}, "a span begins before it ends, got \\[3, 1\\]"),
        ({"steps": [{"do": "cut", "times": 3}]}, '"every" and "times" .* go together'),
        ({"steps": [{"do": "cut", "every": 3}]}, '"every" and "times" .* go together'),
        ({"steps": [{"do": "cut", "toxic": "latency"}]}, '"toxic" goes with add, not with cut'),
        ({"steps": [{"do": "down", "how": "fin"}]}, '"how" goes with cut, not with down'),
        ({"steps": [{"do": "mark", "attributes": {"rate": 1}}]}, '"attributes" goes with add and update'),
        (
            {"steps": [{**SLOW, "at": 2}, {"at": 1, "do": "update", "name": "slow"}]},
            "update slow at 1 s, when",
        ),
        (
            {"steps": [{**SLOW, "for": 1}, {"at": 2, "do": "remove", "name": "slow"}]},
            "remove slow at 2 s, when",
        ),
        (
            {"steps": [SLOW, {"at": 1, "do": "restore"}, {"at": 2, "do": "remove", "name": "slow"}]},
            "when it is",
        ),
    ],
)
def test_a_script_that_would_fail_half_way_does_not_start(value: Any, error: str) -> None:
    with pytest.raises(FaultError, match=error) as info:
        FaultScript.from_dict(value)
    assert info.value.status == 400


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_examples_are_valid_and_say_what_they_show(path: Any) -> None:
    script = FaultScript.load(path)
    assert script.name == path.stem
    assert script.about
    assert 0 < script.duration <= 60


spans = st.floats(0, 10) | st.tuples(st.floats(0, 5), st.floats(5, 10))


@given(st.integers(), st.lists(st.tuples(spans, st.none() | spans), max_size=8))
def test_every_seed_gives_one_timeline(seed: int, steps: list[tuple[Any, Any]]) -> None:
    script = FaultScript(seed=seed)
    for at, lasting in steps:
        script = script.add(at, "latency", lasting=lasting, latency=1)
    again = FaultScript.from_dict(json.loads(json.dumps(script.to_dict())))
    assert again.timeline() == script.timeline()


SCRIPT = (
    FaultScript(name="replay", seed=11)
    .add((0.0, 0.02), "latency", stream="both", latency=3, jitter=2)
    .then(ScriptStep(at=0.03, do="add", toxic="corrupt", attributes={"probability": 0.01}, toxicity=0.5))
    .cut(0.1)
    .add(0.15, "blackhole", lasting=0.05)
    .down(0.25, lasting=0.03)
    .restore(0.3)
)


class Conductor:
    """Lets the player go on one action at a time, so that traffic and script keep step."""

    def __init__(self) -> None:
        self.player = Player(self.sleep)
        self.turns: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(self, _: float) -> None:
        await self.turns.get()

    async def step(self, actions: int = 1) -> None:
        done = self.player.status()["done"] + actions
        for _ in range(actions):
            self.turns.put_nowait(None)
        await eventually(lambda: self.player.status()["done"] == done)


async def run(upstream: str, seed: int) -> list[TraceEvent]:
    """Play the script against four clients that reconnect after the cut."""
    collection = Collection()
    proxy = await collection.create({"name": "p", "upstream": upstream})
    conductor = Conductor()
    opened: list[asyncio.StreamWriter] = []

    async def talk() -> None:
        for n in range(4):
            reader, writer = await asyncio.open_connection(*proxy.listen.split(":"))
            opened.append(writer)
            await eventually(lambda n=n: len(proxy.links) == n + 1)
            writer.write(b"x" * 500)
            await reader.readexactly(500)

    script = FaultScript.from_dict({**SCRIPT.to_dict(), "seed": seed})
    assert [a.step.do for a in script.timeline()] == [
        "add",
        "add",
        "cut",
        "add",
        "add",
        "down",
        "down",
        "restore",
    ]
    await conductor.player.start(proxy, script)
    await conductor.step(2)  # latency and corruption
    await talk()
    await conductor.step()  # cut
    await eventually(lambda: not proxy.links)
    await talk()
    await conductor.step()  # blackhole
    for n, writer in enumerate(opened[-2:], 1):  # one after the other: their delays differ by a millisecond
        writer.write(b"lost")
        await eventually(lambda n=n: sum(e.detail == "swallows" for e in proxy.trace.since()) == n)
    await conductor.step(4)
    await eventually(lambda: not conductor.player.status()["running"])
    await collection.close()
    for writer in opened:
        writer.transport.abort()
    return proxy.trace.since()


async def test_the_same_seed_gives_the_same_trace_twice(echo: str) -> None:
    one, two, other = [await run(echo, seed) for seed in (11, 11, 12)]
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one) != fingerprint(other)
    ended = [e for e in one if e.kind == "ended"]
    assert {e.detail for e in ended} == {"rst: cut", "rst: the stream has a hole", "rst: proxy stopped"}
    assert sum(e.bytes > 0 for e in one if e.kind == "affected") > 8
    touched = [{e.connection for e in run if e.detail == "flips bits"} for run in (one, other)]
    assert touched[0] != touched[1]  # toxicity and corruption are drawn from the seed


async def test_stopping_leaves_no_task_and_says_so(proxy: Proxy) -> None:
    player = Player()
    await player.start(proxy, FaultScript().cut(60))
    await asyncio.sleep(0)
    await player.stop()
    assert proxy.trace.since()[-1].detail == "stopped"
    assert not player.status()["running"]


async def test_an_undoing_takes_back_its_own_action_only(proxy: Proxy) -> None:
    conductor = Conductor()
    slow = FaultScript().add(0, "latency", lasting=2, latency=1).add(1, "latency", lasting=9, latency=2)
    await conductor.player.start(proxy, slow.down(1, lasting=2).down(2.5, lasting=9))
    await conductor.step(3)  # both added, and down
    await conductor.step()  # what the first add left to undo: the second is still to last
    assert [entry.to_dict()["attributes"]["latency"] for entry in proxy.entries] == [2]
    await conductor.step(2)  # down again, and what the first down left to undo
    assert not proxy.enabled
    await conductor.step(2)
    assert (proxy.entries, proxy.enabled) == ([], True)
    await conductor.player.stop()


async def test_a_script_that_fails_reports_it(collection: Collection, proxy: Proxy) -> None:
    player = Player()
    await player.start(proxy, FaultScript().then(ScriptStep(do="update", name="gone", attributes={"x": 1})))
    await eventually(lambda: not player.status()["running"])
    assert player.status()["error"] == "toxic not found"


async def test_a_script_does_not_start_a_proxy_that_was_removed(collection: Collection, proxy: Proxy) -> None:
    conductor = Conductor()
    await conductor.player.start(proxy, FaultScript().down(1, lasting=2))
    await conductor.step()  # down
    await collection.remove("p")
    conductor.turns.put_nowait(None)  # up again
    await eventually(lambda: not conductor.player.status()["running"])
    assert (proxy.enabled, conductor.player.status()["error"]) == (False, "proxy not found")
