"""The ledger against a slow reference that follows the definitions word by word."""

from __future__ import annotations

import ast
import itertools
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtlab.measure.delivery_ledger
from rtlab.errors import RtlabError
from rtlab.measure.delivery_ledger import Anomalies, Ledger, MessageIdentity, Outcome


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reference(
    outcomes: list[Outcome],
    sent_at: list[float],
    arrivals: list[tuple[int, float]],
    dropped: set[int],
    resyncs: list[int],
    since: int,
    late_after: float,
) -> dict[str, int]:
    """Count each anomaly by its definition, in quadratic time."""
    numbers = [number for number, _ in arrivals]

    def exists(number: int) -> bool:
        return 0 <= number < len(outcomes) and outcomes[number] is not Outcome.FAILED

    good = [(number, at) for number, at in arrivals if exists(number) and number >= since]
    came = [number for number, _ in good]
    first = [n for n, number in enumerate(came) if number not in came[:n]]
    expected = [n for n in range(since, len(outcomes)) if outcomes[n] is Outcome.OK]
    missing = [n for n in expected if n not in numbers]

    def told(n: int) -> bool:
        return any(
            all(came[k] < n for k in first if places[k] < resync)
            and all(came[k] > n for k in first if places[k] >= resync)
            and any(places[k] >= resync for k in first)
            for resync in resyncs
        )

    places = [n for n, (number, _) in enumerate(arrivals) if exists(number) and number >= since]
    lost = [n for n in missing if n not in dropped and not told(n)]
    before = [n for n in lost if came and all(n < other for other in came)]
    after = [n for n in lost if all(n > other for other in came)]
    middle = [n for n in lost if n not in before and n not in after]
    gaps = 0
    for n, number in enumerate(middle):
        between = [other for other in came if n and middle[n - 1] < other < number]
        gaps += n == 0 or bool(between)
    return {
        "sent": len(outcomes) - since,
        "ok": len(expected),
        "failed": sum(outcome is Outcome.FAILED for outcome in outcomes[since:]),
        "unknown": sum(outcome is Outcome.UNKNOWN for outcome in outcomes[since:]),
        "received": len(first),
        "lost_prefix": len(before),
        "lost_middle": len(middle),
        "lost_postfix": len(after),
        "gaps": gaps,
        "duplicates": len(came) - len(first),
        "reordered": sum(any(other > came[n] for other in came[:n]) for n in first),
        "late": sum(good[n][1] - sent_at[good[n][0]] > late_after for n in first),
        "phantoms": sum(not exists(number) for number in numbers),
        "dropped": sum(n in dropped for n in missing),
        "resynced": sum(n not in dropped and told(n) for n in missing),
    }


@given(
    st.lists(st.sampled_from(list(Outcome)), max_size=25),
    st.integers(0, 10),
    st.lists(st.tuples(st.integers(-2, 28), st.floats(0, 2)), max_size=40),
    st.sets(st.integers(-1, 28), max_size=6),
    st.sets(st.integers(0, 40), max_size=2),
)
def test_it_agrees_with_the_definitions(outcomes, watched_at, arrivals, dropped, resyncs):
    clock = Clock()
    ledger = Ledger(late_after=5.0, clock=clock)
    since = min(watched_at, len(outcomes))
    sent_at: list[float] = []
    for n, outcome in enumerate(outcomes):
        if n == since:
            ledger.watch("bob")
        clock.now += 0.5
        sent_at.append(clock.now)
        stamp = ledger.stamp("ada")
        assert stamp == ("ada", n)
        if outcome is Outcome.OK:
            ledger.ok(stamp)
        elif outcome is Outcome.FAILED:
            ledger.failed(stamp)
    if since == len(outcomes):
        ledger.watch("bob")
    seen: list[tuple[int, float]] = []
    for n, (number, gap) in enumerate(arrivals):
        if n in resyncs:
            ledger.resync("bob")
        clock.now += gap
        seen.append((number, clock.now))
        ledger.arrived("bob", MessageIdentity("ada", number))
    ledger.dropped("bob", "ada", dropped)

    account = ledger.account("bob", "ada")
    told = [n for n in resyncs if n < len(arrivals)]
    expected = reference(outcomes, sent_at, seen, dropped, told, since, 5.0)
    assert {name: getattr(account, name) for name in expected} == expected
    # Every expected message has come, is lost, or was dropped by a policy.
    came = {n for n, _ in seen}
    ok_came = sum(outcome is Outcome.OK and n in came for n, outcome in enumerate(outcomes) if n >= since)
    assert account.ok == ok_came + account.lost + account.dropped + account.resynced
    loss = ledger.loss_over_time("bob", "ada")
    assert (loss["lost"].iloc[-1] if len(loss) else 0) == account.lost + account.resynced


def run(arrivals: str, *, ok: str = "01234", failed: str = "", dropped: str = "") -> Anomalies:
    """Ada sends 0 to 4; what is neither ok nor failed stays unknown."""
    ledger = Ledger()
    ledger.watch("bob")
    for n in range(5):
        stamp = ledger.stamp("ada")
        if str(n) in ok:
            ledger.ok(stamp)
        elif str(n) in failed:
            ledger.failed(stamp)
    for number in arrivals:
        ledger.arrived("bob", MessageIdentity("ada", int(number)))
    ledger.dropped("bob", "ada", map(int, dropped))
    return ledger.account("bob", "ada")


@pytest.mark.parametrize(
    ("account", "names"),
    [
        (run("01234"), ()),
        (run("234"), ("lost_prefix",)),
        (run("014"), ("lost_middle",)),
        (run("012"), ("lost_postfix",)),
        (run(""), ("lost_postfix",)),
        (run("011234"), ("duplicates",)),
        (run("02134"), ("reordered",)),
        (run("012349"), ("phantoms",)),
        (run("01234", ok="0134", failed="2"), ("phantoms",)),
        (run("0134", ok="0134", failed="2"), ()),
        (run("0134", ok="0134"), ()),  # unknown: it may be missing
        (run("01234", ok="0134"), ()),  # and it may appear
        (run("014", dropped="23"), ()),
        (run("014", dropped="2"), ("lost_middle",)),
    ],
)
def test_each_anomaly_has_its_name(account, names):
    assert account.names == names


def test_gaps_count_runs_of_losses():
    assert run("024").gaps == 2
    assert run("04").gaps == 1
    assert run("01234").gaps == 0


def test_two_receivers_and_two_senders_are_told_apart():
    ledger = Ledger()
    for receiver in ("ada", "bob"):
        ledger.watch(receiver)
    for sender, count in (("ada", 3), ("bob", 2)):
        for _ in range(count):
            ledger.ok(ledger.stamp(sender))
    for number in range(3):
        ledger.arrived("bob", MessageIdentity("ada", number))
    ledger.arrived("ada", MessageIdentity("bob", 1))
    table = ledger.table().set_index(["receiver", "sender"])
    assert list(table.index) == [("ada", "bob"), ("bob", "ada")]
    assert list(table["lost"]) == [1, 0]
    assert set(table.columns) >= set(Anomalies.__struct_fields__) - {"receiver", "sender"}


def test_the_timeline_tells_all_in_order():
    clock = Clock()
    ledger = Ledger(clock=clock)
    ledger.watch("bob")
    first = ledger.stamp("ada")
    clock.now = 1
    second = ledger.stamp("ada")
    clock.now = 2
    ledger.arrived("bob", second)
    clock.now = 3
    ledger.ok(second)
    ledger.failed(first)
    told = list(ledger.timeline().itertuples(index=False, name=None))
    assert told[:3] == [(0, "sent", "ada", 0, ""), (1, "sent", "ada", 1, ""), (2, "arrived", "ada", 1, "bob")]
    assert {row[1:4] for row in told[3:]} == {("ok", "ada", 1), ("failed", "ada", 0)}


@pytest.mark.parametrize("number", [-1, 1 << 70, -(1 << 70)])
def test_a_number_out_of_any_range_is_a_phantom(number):
    ledger = Ledger()
    ledger.watch("bob")
    ledger.arrived("bob", MessageIdentity("nobody", number))
    assert ledger.account("bob", "nobody").phantoms == 1


def test_what_makes_no_sense_is_refused():
    ledger = Ledger()
    stamp = ledger.stamp("ada")
    ledger.ok(stamp)
    ledger.ok(stamp)
    with pytest.raises(RtlabError, match="one outcome"):
        ledger.failed(stamp)
    for unknown in (MessageIdentity("ada", 1), MessageIdentity("ada", -1), MessageIdentity("bob", 0)):
        with pytest.raises(RtlabError, match="gave out"):
            ledger.ok(unknown)
    with pytest.raises(RtlabError, match="watch"):
        ledger.arrived("bob", stamp)
    for late_after in (0, -1, math.nan):
        with pytest.raises(ValueError, match="late_after"):
            Ledger(late_after=late_after)


def test_it_imports_nothing_that_it_judges():
    tree = ast.parse(Path(rtlab.measure.delivery_ledger.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in imported if name and name.startswith("rtlab")}
    assert ours == {"rtlab.errors", "rtlab.measure.ledger_message_stamp"}


def test_a_hundred_thousand_messages_are_judged():
    ledger = Ledger()
    ledger.watch("bob")
    stamps = [ledger.stamp("ada") for _ in range(100_000)]
    for stamp in stamps:
        ledger.ok(stamp)
    for stamp in itertools.chain(stamps[:50_000], stamps[50_001:]):
        ledger.arrived("bob", stamp)
    account = ledger.account("bob", "ada")
    assert (account.lost_middle, account.gaps, account.received) == (1, 1, 99_999)
    assert msgspec.structs.asdict(account)["duplicates"] == 0
