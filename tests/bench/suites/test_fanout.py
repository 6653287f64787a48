"""The benchmark of the fan-out measures what it says, on a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

import rtlab
from rtlab.bench.suites import fanout
from rtlab.bench.suites.fanout import CheckoutComparison, compare, main
from rtlab.errors import LabError
from rtlab.lab.lab import Lab

CHECKOUT = Path(rtlab.__file__).resolve().parents[1]


async def test_every_number_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "REPEATS", 2)
    monkeypatch.setattr(fanout, "READERS", (5, 10))
    monkeypatch.setattr(fanout, "DELIVERIES", 200)
    monkeypatch.setattr(fanout, "ROUND_TRIPS", 20)
    results = {result.metric: result for result in await fanout.run(Lab.start)}
    assert list(results) == [
        "server CPU per delivery, room of 5",
        "server CPU per delivery, room of 10",
        "echo round trip p50, room of 5",
        "echo round trip p50, room of 10",
    ]
    for result in results.values():
        assert (result.unit, result.peer) == ("µs", "websockets")
        assert 0.5 < result.value < 1e6
        assert result.ratio is not None


async def test_a_checkout_is_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "MIN_PAIRS", 6)  # the fewest that have a 95 % interval
    found = await compare(CHECKOUT, CHECKOUT, pairs=6, readers=3, deliveries=36, round_trips=20)
    assert [row.metric for row in found] == ["server CPU per delivery, room of 3", "echo round trip p50"]
    for row in found:
        assert len(row.new_us) == len(row.old_us) == 6
        assert row.low_percent <= row.change_percent <= row.high_percent
        assert "6 pairs" in str(row)


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ([1.0] * 9, "holds"),
        ([1.04] * 9, "slower"),
        ([0.9] * 9, "holds"),
        ([0.9, 1.1] * 5, "undecided"),
    ],
)
def test_the_interval_decides_and_one_that_is_too_wide_decides_nothing(
    new: list[float], verdict: str
) -> None:
    row = CheckoutComparison.of("cpu", new, [1.0] * len(new))
    assert row.holds is (verdict == "holds")
    assert verdict in str(row)


async def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="at least 9 pairs"):
        await compare(CHECKOUT, CHECKOUT, pairs=8)
    with pytest.raises(LabError, match="expected a checkout of rtlab"):
        await compare(CHECKOUT, tmp_path)


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--against", str(tmp_path)]) == 2
    assert "expected a checkout of rtlab" in capsys.readouterr().err
