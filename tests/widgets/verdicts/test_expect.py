from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.errors import RtlabError
from rtlab.widgets.verdicts import expect
from rtlab.widgets.verdicts.judge_value import ExpectedValue


@pytest.mark.parametrize(
    ("expectation", "text", "right", "wrong"),
    [
        (expect.below(1, "ms"), "below 1 ms", 0.999, 1),
        (expect.above(1, "ms"), "above 1 ms", 1.001, 1),
        (expect.at_most(3), "at most 3", 3, 3.1),
        (expect.at_least(2.5, "s"), "at least 2.5 s", 2.5, 2.4),
        (expect.between(1, 2, "/s"), "1 to 2/s", 2, 2.1),
        (expect.within(1, "ms", of=0), "within ±1 ms", -1, 1.1),
        (expect.within(1, "ms", of=5), "within 1 ms of 5 ms", 4, 6.1),
        (expect.within(10, "%", of=50, unit="ms"), "within 10 % of 50 ms", 45, 44),
        (expect.times(of=10, at_least=3, unit="bytes"), "at least 3 × 10 bytes", 30, 29),
        (expect.times(of=10, at_most=3), "at most 3 × 10", 30, 31),
        (expect.times(of=10, at_least=0.5, at_most=2), "0.5 to 2 × 10", 5, 21),
        (expect.equals(0, "bytes"), "exactly 0 bytes", 0, 1),
        (expect.equals("sse"), "exactly sse", "sse", "longpoll"),
        (expect.equals([1, 2]), "exactly 1, 2", np.array([1, 2]), [2, 1]),
        (expect.equals([]), "exactly none", [], [1]),
    ],
)
def test_an_expectation_says_what_it_is_and_judges_so(
    expectation: ExpectedValue, text: str, right: Any, wrong: Any
):
    assert expectation.text == text
    assert expectation.judge(right) == "holds"
    assert expectation.judge(wrong) == "fails"
    assert expectation.show(wrong)


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), np.array(float("nan"))])
def test_exactly_nothing_is_not_judged(value: Any):
    assert expect.equals(3, "ms").judge(value) == "empty"
    assert "nothing" in expect.equals(3, "ms").show(value)


def test_a_stream_that_was_not_run_is_not_judged():
    assert (expect.each_once().judge(None, 2), expect.each_once().show(None, 2)) == ("empty", "nothing")


@pytest.mark.parametrize("count", [2, np.int64(2), np.array(2)])
def test_a_count_may_be_any_integer(count: Any):
    assert expect.each_once().judge([0, 1], count) == "holds"
    assert expect.each_once().show([0, 1], count).startswith("2 of 2")


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((-0.9, 0.9), "holds"),
        ((1.2, 1.4), "fails"),
        ((-3, -2), "fails"),
        ((0.5, 1.5), "undecided"),
        ((-5, 5), "undecided"),
    ],
)
def test_an_interval_must_hold_as_a_whole(interval: tuple[float, float], outcome: str):
    assert expect.within(1, "ms", of=0).judge(sum(interval) / 2, interval=interval) == outcome
    moved = (interval[0] + 7, interval[1] + 7)
    assert expect.within(1, "ms", of="the model").judge(sum(moved) / 2, 7, moved) == outcome


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e3))
def test_within_is_the_distance(value: float, other: float, margin: float):
    outcome = expect.within(margin, "ms", of="it").judge(value, other)
    assert (outcome == "holds") == (abs(value - other) <= margin)


def test_a_list_holds_if_all_of_it_does():
    model = expect.within(5, "%", of="the model", unit="bytes")
    assert model.judge([100, 210], [100, 200]) == "holds"
    assert model.judge([100, 211], [100, 200]) == "fails"
    shown = model.show(np.array([100, 210]), [100, 200])
    assert shown == "100 and 210 bytes against 100 and 200 bytes: at most 5 % apart"
    assert expect.below(3, "s").show([1, 2]) == "1 and 2 s"
    assert expect.below(3, "s").show([1]) == "1 s"
    assert expect.below(9, "s").show([1, 3, 2, 4]) == "1 to 4 s (4 values)"
    assert (
        expect.times(of="B", at_most=2).show([1, 2, 6], [1, 2, 3])
        == "1, 2 and 6 against 1, 2 and 3: 1, 1 and 2 ×"
    )


@pytest.mark.parametrize("nothing", [math.nan, None, [], [1, math.nan]])
def test_where_no_number_came_nothing_is_judged(nothing: Any):
    assert expect.below(1, "ms").judge(nothing) == "empty"
    assert expect.within(1, of="it").judge(nothing, 1) == "empty"
    assert expect.within(1, of="it").judge(1, math.nan) == "empty"
    assert expect.below(1, "ms").show(nothing)
    assert expect.within(1, of="it").show(nothing, 1)


def test_never_is_a_number_and_no_number_of_times_nothing_is_none():
    assert expect.below(3, "s").judge(math.inf) == "fails"
    assert expect.below(3, "s").show(math.inf) == "∞ s"
    assert expect.times(of="the rival", at_least=3).judge(5, 0) == "holds"
    assert expect.times(of="the rival", at_least=3).judge(0, 0) == "empty"


@pytest.mark.parametrize(
    ("came", "outcome", "shown"),
    [
        ([0, 1, 2], "holds", "3 of 3, 0 repeats, 0 out of order"),
        ([0, 2], "fails", "2 of 3, 0 repeats, 0 out of order"),
        ([0, 1, 1, 2], "fails", "3 of 3, 1 repeat, 0 others out of order"),
        ([0, 2, 1], "fails", "3 of 3, 0 repeats, 1 out of order"),
        ([0, 1, 2, 3], "fails", "3 of 3, 0 repeats, 0 out of order, 1 never sent"),
        ([], "fails", "0 of 3, 0 repeats, 0 out of order"),
    ],
)
def test_a_stream_is_counted(came: list[int], outcome: str, shown: str):
    assert expect.each_once().judge(came, 3) == outcome
    assert expect.each_once().show(came, 3) == shown
    assert expect.each_once().judge([f"m{n}" for n in came], ["m0", "m1", "m2"]) == outcome
    if sorted(came) == [0, 1, 2]:
        assert expect.each_once(in_order=False).judge(came, 3) == "holds"


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda: expect.below(1).judge(True), "bare True"),
        (lambda: expect.below(1).judge(np.bool_(False)), "bare False"),
        (lambda: expect.equals(1).judge(True), "bare True"),
        (lambda: expect.below(1).judge(np.array([True])), "bare"),
        (lambda: expect.below(1).judge("many"), "expected a number"),
        (lambda: expect.below(1).judge(1, 2), "leave out of="),
        (lambda: expect.within(1, of="the model").judge(1), "of=…"),
        (lambda: expect.within(1, of=5).judge(1, 2), "leave out of="),
        (lambda: expect.within(1, of="it").judge([1, 2], 1, (0, 1)), "one number"),
        (lambda: expect.times(of="it"), "at_least="),
        (lambda: expect.each_once().judge([1]), "of=count"),
        (lambda: expect.equals(1).judge(1, interval=(0, 1)), "neither"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(mistake: Any, said: str):
    with pytest.raises(RtlabError, match=said):
        mistake()


@pytest.mark.parametrize(
    ("unit", "one"),
    [
        ("orders", "1 order"),
        ("different transcripts", "1 different transcript"),
        ("reconnects for each client", "1 reconnect for each client"),
        ("deliveries", "1 delivery"),
        ("misses and false alarms", "1 miss and false alarm"),
        ("ms", "1 ms"),
        ("process", "1 process"),
        ("% of connects", "1 % of connects"),
        ("of 5 networks", "1 of 5 networks"),
        ("× the stops", "1 × the stops"),
    ],
)
def test_a_unit_behind_a_one_is_a_single_one(unit: str, one: str) -> None:
    assert expect.equals(1, unit).show(1) == one
    assert expect.equals(1, unit).text == f"exactly {one}"
    assert expect.equals(2, unit).show(2) == f"2 {unit}"
