"""The life of a connection: its table, row by row, and walks through it."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtlab.policies import state_machine_types as states
from rtlab.policies import state_transition_table as machine
from rtlab.policies.backoff import Constant, Exponential, Table
from rtlab.policies.retry_limits_and_server_hints import RetryPolicy
from rtlab.policies.state_machine_types import State

POLICY = RetryPolicy(Exponential(base=1.0, cap=8.0), max_attempts=3, min_uptime=5.0)
RNG = np.random.default_rng(1)


def events(generation: int) -> list[states.ConnectionEvent]:
    return [
        states.Connect(),
        states.Opened(generation),
        states.Failed(generation, "refused"),
        states.Failed(generation, "401", retryable=False),
        states.Failed(generation, "the breaker is open", made=False),
        states.Lost(generation),
        states.Lost(generation, 1008, reconnect=False),
        states.TimerFired(generation),
        states.ReconnectNow(),
        states.Close(),
    ]


def lives() -> list[machine.Lifecycle]:
    return [
        machine.Lifecycle(state, 7, attempt, 1.0, waiting, 100.0)
        for state in State
        for attempt in (0, 3)
        for waiting in ((False, True) if state is State.RECONNECTING else (False,))
    ]


@pytest.mark.parametrize(("life", "event"), list(itertools.product(lives(), events(7))))
def test_every_pair_does_what_the_table_says(life, event):
    context = machine._Step(life, event, 101.0, RNG, POLICY)
    rows = [
        row
        for row in machine.TABLE
        if row.state is life.state and type(event) is row.event and (row.guard is None or row.guard(context))
    ]
    after, actions = machine.step(life, event, 101.0, np.random.default_rng(1), POLICY)
    if not rows:
        assert after == life
        assert actions == ()
    else:
        assert after.state is rows[0].then


#: By hand, what each pair leads to: the state, and the actions in order. A pair that is missing
#: changes nothing. "R?" is a Reconnecting whose delay is running, "R" one whose attempt is.
WANTED = {
    "D connect": "C Open",
    "D close": "X",
    "C opened": "O TellConnected",
    "C failed": "D GiveUp",
    "C refused": "D GiveUp",
    "C held back": "D GiveUp",
    "C close": "X Discard GiveUp",
    "O lost": "R? TellDisconnected Schedule",
    "O banned": "D TellDisconnected GiveUp",
    "O close": "X Shut TellDisconnected",
    "R opened": "O TellConnected",
    "R failed": "R? Schedule",
    "R refused": "D GiveUp",
    "R held back": "R? Schedule",
    "R close": "X Discard GiveUp",
    "R? timer": "R Open",
    "R? now": "R CancelTimer Open",
    "R? close": "X CancelTimer GiveUp",
    "X connect": "C Open",
}
#: What differs when first connects are retried, and when no attempt is left.
PATIENT = {"C failed": "R? Schedule", "C held back": "R? Schedule"}
SPENT = {"O lost": "D TellDisconnected GiveUp", "R failed": "D GiveUp"}
EVENTS = ["connect", "opened", "failed", "refused", "held back", "lost", "banned", "timer", "now", "close"]
LIVES = {
    "D": (State.DISCONNECTED, False),
    "C": (State.CONNECTING, False),
    "O": (State.CONNECTED, False),
    "R": (State.RECONNECTING, False),
    "R?": (State.RECONNECTING, True),
    "X": (State.CLOSED, False),
}


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize(("number", "word"), list(enumerate(EVENTS)))
@pytest.mark.parametrize(
    ("policy", "attempt", "differs"),
    [
        (POLICY, 0, {}),
        (msgspec.structs.replace(POLICY, retry_initial=True), 0, PATIENT),
        (POLICY, 3, SPENT),
    ],
    ids=["usual", "patient", "spent"],
)
def test_every_pair_does_what_was_written_down_by_hand(name, number, word, policy, attempt, differs):
    state, waiting = LIVES[name]
    life = machine.Lifecycle(state, 7, attempt, 1.0, waiting, 100.0)
    after, actions = machine.step(life, events(7)[number], 101.0, RNG, policy)
    wanted = {**WANTED, **differs}.get(f"{name} {word}")
    if wanted is None:
        assert (after, actions) == (life, ())
        return
    then, *names = wanted.split()
    assert (after.state, after.waiting) == LIVES[then]
    assert [type(action).__name__ for action in actions] == names


@pytest.mark.parametrize(("life", "event"), list(itertools.product(lives(), events(6))))
def test_an_older_generation_changes_nothing(life, event):
    if not hasattr(event, "generation"):
        return
    assert machine.step(life, event, 101.0, RNG, POLICY) == (life, ())


def test_every_row_can_be_reached():
    reached = set()
    for life, event, retry in itertools.product(lives(), events(7), (False, True)):
        policy = msgspec.structs.replace(POLICY, retry_initial=retry)
        context = machine._Step(life, event, 101.0, RNG, policy)
        for row in machine.TABLE:
            applies = row.state is life.state and type(event) is row.event
            if applies and (row.guard is None or row.guard(context)):
                reached.add(machine.TABLE.index(row))
                break
    assert reached == set(range(len(machine.TABLE)))


def drive(life, *steps, policy=POLICY):
    """Apply (now, event) pairs; return the life and all actions."""
    done = []
    rng = np.random.default_rng(1)
    for now, event in steps:
        life, actions = machine.step(life, event, now, rng, policy)
        done.extend(actions)
    return life, done


def test_delays_grow_and_attempts_end():
    life, _ = drive(machine.Lifecycle(), (0, states.Connect()), (0, states.Opened(1)))
    delays = []
    now, event = 0.1, states.Lost(1)
    while True:
        life, actions = machine.step(life, event, now, RNG, POLICY)
        schedule = [a for a in actions if isinstance(a, states.Schedule)]
        if not schedule:
            break
        delays.append(schedule[0].delay)
        life, _ = machine.step(life, states.TimerFired(life.generation), now, RNG, POLICY)
        event = states.Failed(life.generation, "refused")
    assert delays == [1.0, 2.0, 4.0]
    assert life.state is State.DISCONNECTED
    assert isinstance(actions[-1], states.GiveUp)


@pytest.mark.parametrize(("uptime", "attempt"), [(4.9, 3), (5.0, 1)])
def test_retries_count_from_zero_only_after_min_uptime(uptime, attempt):
    life = machine.Lifecycle(State.CONNECTED, 4, attempt=2, previous=2.0, opened_at=10.0)
    life, _ = machine.step(life, states.Lost(4), 10.0 + uptime, RNG, POLICY)
    assert life.attempt == attempt


def test_retry_after_zero_is_no_hot_loop():
    life, delays = machine.Lifecycle(State.CONNECTED, 1), []
    event = states.Lost(1, retry_after=0.0)
    for _ in range(3):
        life, actions = machine.step(life, event, 9.0, RNG, POLICY)
        delays += [a.delay for a in actions if isinstance(a, states.Schedule)]
        event = states.Failed(life.generation, "503", retry_after=0.0)
        life, _ = machine.step(life, states.TimerFired(life.generation), 9.0, RNG, POLICY)
    assert delays == [1.0, 2.0, 4.0]


def test_a_hint_does_not_enter_decorrelated_jitter():
    life = machine.Lifecycle(State.CONNECTED, 1)
    life, _ = machine.step(life, states.Lost(1, retry_after=20.0), 9.0, RNG, POLICY)
    assert life.previous == 1.0


def test_an_attempt_that_was_held_back_does_not_count_but_the_delay_grows():
    life, _ = drive(machine.Lifecycle(State.CONNECTED, 1, opened_at=0.0), (0, states.Lost(1)))
    delays = []
    for made in (False, True, False, True, True):
        life, _ = machine.step(life, states.TimerFired(life.generation), 1.0, RNG, POLICY)
        life, actions = machine.step(life, states.Failed(life.generation, made=made), 1.0, RNG, POLICY)
        delays += [a.delay for a in actions if isinstance(a, states.Schedule)]
    assert delays == [2.0, 4.0, 8.0, 8.0]
    assert (life.state, life.retries) == (State.DISCONNECTED, 3)  # three were made, as the policy allows


@pytest.mark.parametrize("made", [True, False])
def test_retries_beyond_the_backoffs_own_end_repeat_its_last_delay(made):
    policy = RetryPolicy(Table(delays=(1.0, 2.0, 5.0), max_attempts=3), max_attempts=5 if made else 3)
    life, delays = machine.Lifecycle(State.CONNECTED, 1), []
    event = states.Lost(1)
    for _ in range(5):
        life, actions = machine.step(life, event, 1.0, RNG, policy)
        delays += [a.delay for a in actions if isinstance(a, states.Schedule)]
        life, _ = machine.step(life, states.TimerFired(life.generation), 1.0, RNG, policy)
        event = states.Failed(life.generation, made=made)
    assert delays == [1.0, 2.0, 5.0, 5.0, 5.0]


def test_a_life_begins_with_nothing_held_back():
    life = machine.Lifecycle(State.CLOSED, 7, attempt=5, held_back=2)
    assert machine.step(life, states.Connect(), 0.0, RNG, POLICY)[0].held_back == 0
    life = machine.Lifecycle(State.CONNECTED, 7, attempt=5, held_back=2)
    assert machine.step(life, states.Lost(7), 60.0, RNG, POLICY)[0].held_back == 0


def test_reconnect_now_brings_the_attempt_forward_once():
    life = machine.Lifecycle(State.CONNECTED, 1)
    life, actions = drive(life, (9, states.Lost(1)), (9, states.ReconnectNow()), (9, states.ReconnectNow()))
    assert [type(a) for a in actions[-2:]] == [states.CancelTimer, states.Open]
    assert sum(isinstance(a, states.Open) for a in actions) == 1
    # The timer that was cancelled too late must not start a second loop.
    assert machine.step(life, states.TimerFired(life.generation), 9.5, RNG, POLICY) == (
        life,
        (),
    )


def test_a_late_close_of_an_old_socket_changes_nothing():
    life = machine.Lifecycle(State.CONNECTED, 1)
    life, _ = drive(life, (9, states.Lost(1)), (9, states.TimerFired(2)), (9, states.Opened(2)))
    assert life.state is State.CONNECTED
    assert machine.step(life, states.Lost(1), 10.0, RNG, POLICY) == (life, ())


def test_a_first_connect_fails_at_once_unless_asked_otherwise():
    start = machine.Lifecycle()
    life, actions = drive(start, (0, states.Connect()), (0, states.Failed(1, "refused")))
    assert life.state is State.DISCONNECTED
    assert actions[-1] == states.GiveUp("refused")
    patient = msgspec.structs.replace(POLICY, retry_initial=True)
    life, actions = drive(start, (0, states.Connect()), (0, states.Failed(1, "refused")), policy=patient)
    assert life.state is State.RECONNECTING
    assert isinstance(actions[-1], states.Schedule)


@given(st.data())
@settings(max_examples=300)
def test_any_walk_keeps_one_attempt_and_one_timer(data):
    """Whatever happens in whatever order: never two timers, never two live attempts."""
    retry = data.draw(st.booleans())
    policy = msgspec.structs.replace(POLICY, backoff=Constant(seconds=1.0), retry_initial=retry)
    life, now = machine.Lifecycle(), 0.0
    timer: int | None = None
    live: set[int] = set()
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(st.sampled_from([0.0, 1.0, 6.0]))
        generation = data.draw(st.integers(max(0, life.generation - 2), life.generation + 1))
        event = data.draw(st.sampled_from(events(generation)))
        if isinstance(event, states.TimerFired):
            if timer != generation:
                continue
            timer = None
        if isinstance(event, states.Failed | states.Lost):
            # An attempt fails before it opens, and is lost after.
            if generation not in live or isinstance(event, states.Lost) != (life.state is State.CONNECTED):
                continue
            live.discard(generation)
        if isinstance(event, states.Opened) and generation not in live:
            continue
        life, actions = machine.step(life, event, now, RNG, policy)
        for action in actions:
            match action:
                case states.Schedule(generation=g):
                    assert timer is None
                    timer = g
                case states.CancelTimer():
                    assert timer is not None
                    timer = None
                case states.Open(generation=g):
                    assert not live
                    assert timer is None
                    live.add(g)
                case states.Discard(generation=g) | states.Shut(generation=g):
                    assert g in live
                    live.discard(g)
                case _:
                    pass
        assert life.waiting == (timer is not None)
        if life.state in (State.CLOSED, State.DISCONNECTED):
            assert not live
            assert timer is None
