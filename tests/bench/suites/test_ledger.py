from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtlab.bench.registry import BENCHES
from rtlab.bench.suites import ledger as bench_ledger
from rtlab.errors import LabError, RtlabError
from rtlab.lab.lab import Lab


async def unwanted(**_: Any) -> Lab:
    pytest.fail("a lab was started for rounds that cannot be kept")


async def test_rounds_that_are_done_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"COUNT": 20, "FAULTS": 2, "KINDS": ("websocket",)}.items():
        monkeypatch.setattr(bench_ledger, name, value)
    started: list[Any] = []

    async def start(**options: Any) -> Lab:
        started.append(options)
        return await Lab.start(**options)

    kept = tmp_path / "rounds.jsonl"
    for messages, rounds, labs in ((80, 1, 1), (160, 2, 2), (160, 2, 2)):
        results = await BENCHES["ledger"](start, messages=messages, resume=str(kept))
        assert (len(started), len(kept.read_bytes().splitlines())) == (labs, rounds)
        counts = {result.metric: result.value for result in results}
        assert counts["messages sent"] == 80 * rounds
        assert [result.value for result in results if result.peer == "limit"] == [0] * 6


@pytest.mark.parametrize("content", [b"something else", b'{"kind":"\xff"}'], ids=["no JSON", "not UTF-8"])
async def test_a_file_that_does_not_hold_rounds_is_refused(tmp_path: Path, content: bytes):
    kept = tmp_path / "rounds.jsonl"
    kept.write_bytes(content)
    with pytest.raises(LabError, match="name another file"):
        await BENCHES["ledger"](unwanted, resume=str(kept))


async def test_a_file_that_cannot_be_written_is_refused_before_the_first_round(tmp_path: Path):
    with pytest.raises(LabError, match=r"cannot keep rounds in .*: name another file"):
        await BENCHES["ledger"](unwanted, resume=str(tmp_path / "nowhere" / "rounds.jsonl"))


async def test_an_option_that_a_benchmark_does_not_know_is_refused():
    with pytest.raises(RtlabError, match="snapshot takes no --messages"):
        await BENCHES["snapshot"](Lab.start, messages=3)
