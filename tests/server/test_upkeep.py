from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from rtlab.server.upkeep import TICK, Upkeep


class Quiet:
    def __init__(self, beats: Counter[int], number: int) -> None:
        self.beats = beats
        self.number = number

    def heartbeat(self) -> None:
        self.beats[self.number] += 1


def test_heartbeats_are_spread_over_their_interval() -> None:
    beats = Counter[int]()
    sinks: dict[Any, None] = {Quiet(beats, n): None for n in range(1000)}
    nothing: Any = SimpleNamespace(sinks=sinks)
    upkeep = Upkeep(nothing, nothing, nothing, 15.0, lambda: 0.0)
    at_once: list[int] = []
    for _ in range(round(15.0 / TICK)):
        before = beats.total()
        upkeep._beat(TICK / 15.0)
        at_once.append(beats.total() - before)
    assert max(at_once) <= 17
    assert set(beats.values()) == {1}
    assert len(beats) >= 999
    gone = next(iter(sinks))
    del sinks[gone]
    for _ in range(round(30.0 / TICK)):
        upkeep._beat(TICK / 15.0)
    assert beats[gone.number] <= 1
