from __future__ import annotations

import pytest

from rtlab.bench.suites import hooks as bench_hooks
from rtlab.hooks.feed import Feed
from rtlab.lab.lab import Lab


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"REPEATS": 1, "RATE": 5_000, "MESSAGES": 500, "COMPONENTS": 5, "STEPS": 12}.items():
        monkeypatch.setattr(bench_hooks, name, value)


@pytest.mark.usefixtures("_quick")
async def test_nothing_is_lost_and_nothing_left():
    lost, renders, cpu, at_once, left = await bench_hooks.run(Lab.start)
    assert (lost.value, at_once.value, left.value) == (0, 1, 0)
    assert renders.value > 0
    assert cpu.peer == "bare callback"


@pytest.mark.usefixtures("_quick")
async def test_a_message_that_a_render_forgets_is_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Feed, "pending", lambda self: tuple(self._pending[-1:]))

    def forget(self: Feed, count: int) -> None:
        self._pending.clear()
        self.taken += count

    monkeypatch.setattr(Feed, "commit", forget)
    lost = (await bench_hooks.run(Lab.start))[0]
    assert lost.value > 0
