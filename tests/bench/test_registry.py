from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtlab.bench import registry as bench
from rtlab.bench.registry import BENCHES
from rtlab.bench.results import Result
from rtlab.bench.suites import import_time as bench_import


def test_each_file_is_a_benchmark():
    assert {"client", "import"} <= BENCHES.keys()
    assert list(BENCHES) == sorted(BENCHES)


async def test_a_benchmark_is_imported_when_it_runs(monkeypatch: pytest.MonkeyPatch):
    imported: list[str] = []

    class Module:
        @staticmethod
        async def run(start_lab: Any) -> list[Result]:
            return [Result.of("x", start_lab, [1.0], "s")]

    def import_module(name: str) -> type[Module]:
        imported.append(name)
        return Module

    monkeypatch.setattr(bench.importlib, "import_module", import_module)
    (row,) = await BENCHES["client"]("a lab")  # type: ignore[arg-type]
    assert imported == ["rtlab.bench.suites.client"]
    assert row.metric == "a lab"


async def test_the_import_benchmark_times_what_the_reader_waits_for(monkeypatch: pytest.MonkeyPatch):
    stopped = 0

    class Slow:
        url = ws_url = token = ""

        async def stop(self) -> None:
            nonlocal stopped
            stopped += 1

    async def start_lab(**_: Any) -> Slow:
        await asyncio.sleep(0.02)
        return Slow()

    monkeypatch.setattr(bench_import, "REPEATS", 2)
    imports, names, starts = await bench_import.run(start_lab)
    assert (imports.metric, imports.peer_value) == ("import rtlab", 0.3)
    assert 0 < imports.value < names.value
    assert (starts.metric, starts.peer_value) == ("Lab.start()", 2.0)
    assert 0.02 <= starts.value < 2.0
    assert stopped == 2
