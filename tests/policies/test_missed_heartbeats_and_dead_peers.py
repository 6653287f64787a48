"""Heartbeat: when each machine asks, and how long a dead peer goes unnoticed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.missed_heartbeats_and_dead_peers import (
    Beat,
    Dead,
    Heartbeat,
    Ping,
    Pong,
    Received,
    Rtt,
    SendPing,
    Sweep,
    Tick,
    Watchdog,
)

MACHINES: list[Heartbeat] = [Ping(10, 3), Ping(10, 25), Watchdog(10, 3), Sweep(10)]
ids = [repr(machine) for machine in MACHINES]


def detect(machine: Heartbeat, death: float, rtt: float = 0.0, beat: float | None = None) -> float:
    """Run a peer that answers (or beats by itself) until `death`; return when it was found dead."""
    state = machine.start(0.0)
    answers: list[tuple[float, int]] = []
    beats = [] if beat is None else list(np.arange(beat, death, beat))
    for _ in range(10_000):
        arrival = min([at for at, _ in answers] + beats[:1], default=math.inf)
        now = min(state.due, arrival)
        if arrival <= state.due:
            if beats and arrival == beats[0]:
                beats.pop(0)
                state, actions = machine.step(state, Received(), now)
            else:
                number = answers.pop(0)[1]
                state, actions = machine.step(state, Pong(number), now)
        else:
            state, actions = machine.step(state, Tick(), now)
        for action in actions:
            if isinstance(action, Dead):
                assert state.dead
                return now
            if now < death:
                answers.append((now + rtt, action.number))
    raise AssertionError("never noticed")


# --- how long a dead peer goes unnoticed ---


@pytest.mark.parametrize(
    ("machine", "beat", "low", "high"),
    [
        (Ping(10, 3), None, 3, 13),
        (Ping(10, 25), None, 25, 35),
        (Watchdog(10, 3), 10.0, 3, 13),
        (Sweep(10), None, 10, 20),
    ],
)
def test_detection_times_follow_the_uniform_laws(
    machine: Heartbeat, beat: float | None, low: float, high: float
) -> None:
    from scipy import stats  # here, because its import takes a second in every worker

    deaths = np.random.default_rng(4).uniform(50, 60, size=2000)
    times = np.array([detect(machine, death, beat=beat) - death for death in deaths])
    # D is below 1.63/√n in 99 % of samples of the right law.
    assert stats.kstest(times, stats.uniform(low, high - low).cdf).statistic < 1.63 / math.sqrt(2000)
    # The control: the neighbour's law is refused.
    assert stats.kstest(times, stats.uniform(low + 1, high - low).cdf).statistic > 1.63 / math.sqrt(2000)


@given(st.floats(0.1, 100), st.floats(0.1, 300), st.floats(0, 0.9))
def test_a_peer_that_answers_in_time_lives(interval: float, timeout: float, share: float) -> None:
    machine, rtt = Ping(interval, timeout), share * timeout
    state = machine.start(0.0)
    answers: list[tuple[float, int]] = []
    for _ in range(50):
        if answers and answers[0][0] <= state.due:
            at, number = answers.pop(0)
            state, actions = machine.step(state, Pong(number), at)
        else:
            now = state.due
            state, actions = machine.step(state, Tick(), now)
            answers.extend((now + rtt, a.number) for a in actions if isinstance(a, SendPing))
        assert not any(isinstance(a, Dead) for a in actions)
    assert state.rtt is None or state.rtt.last == pytest.approx(rtt, abs=1e-6)


# --- the machines, step by step ---


def test_pings_keep_their_schedule() -> None:
    machine = Ping(interval=10, timeout=3)
    state = machine.start(100.0)
    sent: list[float] = []
    for _ in range(5):
        now = state.due + 0.004  # a timer is always a little late, but does not drift
        state, actions = machine.step(state, Tick(), now)
        sent.append(now)
        assert actions == (SendPing(len(sent)),)
        state, _ = machine.step(state, Pong(len(sent)), now + 0.1)
    np.testing.assert_allclose(sent, [110.004, 120.004, 130.004, 140.004, 150.004])


def test_a_late_answer_to_an_earlier_ping_leaves_the_later_one_open() -> None:
    machine = Ping(interval=10, timeout=25)
    state = machine.start(0.0)
    state, _ = machine.step(state, Tick(), 10.0)
    state, _ = machine.step(state, Tick(), 20.0)
    state, _ = machine.step(state, Pong(1), 21.0)
    assert state.pending == ((2, 20.0),)
    assert state.due == 30.0


def test_an_answer_confirms_all_earlier_pings() -> None:
    machine = Ping(interval=10, timeout=25)
    state = machine.start(0.0)
    state, _ = machine.step(state, Tick(), 10.0)
    state, _ = machine.step(state, Tick(), 20.0)
    state, _ = machine.step(state, Pong(2), 20.5)
    assert state.pending == ()
    assert state.rtt == Rtt(0.5, 0.5, 0.25)


def test_an_unknown_pong_proves_life_but_measures_nothing() -> None:
    machine = Ping(interval=10, timeout=3)
    state, _ = machine.step(machine.start(0.0), Tick(), 10.0)
    after, actions = machine.step(state, Pong(99), 11.0)
    assert (after.heard, after.rtt, after.pending, actions) == (11.0, None, ((1, 10.0),), ())


def test_messages_feed_the_watchdog_but_do_not_answer_a_ping() -> None:
    dog = Watchdog(interval=10, grace=3)
    assert dog.step(dog.start(0.0), Received(), 7.0).state.due == 20.0
    ping = Ping(interval=10, timeout=3)
    state, _ = ping.step(ping.start(0.0), Tick(), 10.0)
    state, _ = ping.step(state, Received(), 12.0)
    assert ping.step(state, Tick(), 13.0).actions == (Dead("ping 1 was not answered within 3 s", 1.0),)


@pytest.mark.parametrize("machine", MACHINES, ids=ids)
def test_an_early_tick_changes_nothing(machine: Heartbeat) -> None:
    state = machine.start(0.0)
    assert machine.step(state, Tick(), 9.9) == (state, ())


@pytest.mark.parametrize("machine", MACHINES, ids=ids)
def test_nothing_follows_death(machine: Heartbeat) -> None:
    state, now = machine.start(0.0), 0.0
    while not state.dead:
        now = state.due
        state, _ = machine.step(state, Tick(), now)
    for event in (Tick(), Pong(1), Received()):
        assert machine.step(state, event, now + 1) == (state, ())


@pytest.mark.parametrize("machine", MACHINES, ids=ids)
def test_a_process_that_slept_does_not_blame_its_peer(machine: Heartbeat) -> None:
    state = machine.start(0.0)
    if not isinstance(machine, Watchdog):
        state, _ = machine.step(state, Tick(), 10.0)
    woke = state.due + 3600.0
    state, actions = machine.step(state, Tick(), woke)
    assert not state.dead
    assert all(isinstance(action, SendPing) for action in actions)
    # … but a peer that stays silent from then on is found as always.
    while not state.dead:
        now = state.due
        state, _ = machine.step(state, Tick(), now)
    assert now <= woke + 35


@pytest.mark.parametrize("machine", MACHINES, ids=ids)
@pytest.mark.parametrize("answered", [True, False])
def test_one_who_comes_late_looks_again_before_judging(machine: Heartbeat, answered: bool) -> None:
    state = machine.start(0.0)
    while not machine.step(state, Tick(), state.due).state.dead:
        state = machine.step(state, Tick(), state.due).state
    due = state.due
    state, actions = machine.step(state, Tick(), due + 2.0)
    assert (state.due, actions) == (due + 4.0, ())
    if answered:  # it lay unread
        event = Received() if isinstance(machine, Watchdog) else Pong(state.number)
        state = machine.step(state, event, due + 2.1).state
    else:  # what else comes is no answer to a ping, and no ground for another doubt
        state = state if isinstance(machine, Watchdog) else machine.step(state, Received(), due + 2.1).state
    state, actions = machine.step(state, Tick(), due + 5.0)
    assert any(isinstance(action, Dead) for action in actions) is state.dead is not answered
    assert not (answered and state.doubted)


def test_the_same_events_give_the_same_states() -> None:
    def run() -> list[Beat]:
        machine, states = Ping(10, 3), [Ping(10, 3).start(0.0)]
        for event, now in [
            (Tick(), 10.0),
            (Pong(1), 10.2),
            (Received(), 11.0),
            (Tick(), 20.0),
            (Tick(), 23.0),
        ]:
            states.append(machine.step(states[-1], event, now).state)
        return states

    assert run() == run()


# --- RTT, RFC 6298 ---


def test_rtt_follows_rfc_6298() -> None:
    rtt = Rtt.first(0.1)
    assert (rtt.smoothed, rtt.variation) == (0.1, 0.05)
    rtt = rtt.add(0.2)
    assert rtt.variation == pytest.approx(0.75 * 0.05 + 0.25 * 0.1)
    assert rtt.smoothed == pytest.approx(0.875 * 0.1 + 0.125 * 0.2)
    assert (rtt.last, rtt.samples) == (0.2, 2)
    # The deviation is from the smoothed value before the sample, not from the last sample.
    assert rtt.add(0.2).variation == pytest.approx(0.75 * 0.0625 + 0.25 * (0.2 - 0.1125))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_the_smoothed_rtt_stays_within_the_samples(samples: list[float]) -> None:
    rtt = Rtt.first(samples[0])
    for sample in samples[1:]:
        rtt = rtt.add(sample)
    assert min(samples) - 1e-9 <= rtt.smoothed <= max(samples) + 1e-9


@pytest.mark.parametrize(
    "make", [lambda: Ping(0), lambda: Ping(1, -1), lambda: Watchdog(1, 0), lambda: Sweep(math.nan)]
)
def test_a_bad_parameter_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"expected .* > 0"):
        make()  # type: ignore[operator]
