"""How long to wait before a retry, and what a server said about it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from rtlab.policies import state_machine_types as states
from rtlab.policies import state_transition_table as machine
from rtlab.policies.backoff import Constant, Exponential, FullJitter
from rtlab.policies.retry_limits_and_server_hints import RetryPolicy
from rtlab.policies.state_machine_types import State

POLICY = RetryPolicy(Exponential(base=1.0, cap=8.0), max_attempts=3)


def delays_after(event, *, clients=1, policy=POLICY):
    """What each of so many clients waits after the same event."""
    life = machine.Lifecycle(State.CONNECTED if isinstance(event, states.Lost) else State.RECONNECTING, 1)
    delays = []
    for client in range(clients):
        _, actions = machine.step(life, event, 9.0, np.random.default_rng([1, client]), policy)
        delays += [a.delay for a in actions if isinstance(a, states.Schedule)]
    return np.array(delays)


@pytest.mark.parametrize("kind", [states.Lost, states.Failed])
@pytest.mark.parametrize(("hint", "obeyed"), [(0.0, 0.0), (20.0, 20.0), (9e9, 300.0), (-5.0, 0.0)])
def test_retry_after_is_the_earliest_moment_and_the_backoff_begins_there(kind, hint, obeyed):
    delays = delays_after(kind(1, retry_after=hint), clients=100)
    assert np.all(delays >= obeyed + 1.0)  # the policy's own second
    assert np.all(delays <= 1.5 * obeyed + 1.0)


@pytest.mark.parametrize(("time", "obeyed"), [(None, 1.0), (0.0, 1.0), (0.01, 0.01), (9e9, 300.0)])
def test_a_streams_reconnection_time_takes_the_backoffs_place(time, obeyed):
    (delay,) = delays_after(states.Lost(1, reconnection_time=time))
    assert obeyed <= delay < (1.5 * obeyed if time else 1.001)


@pytest.mark.parametrize(("limit", "least"), [(0.0, 1.0), (0.5, 1.0), (2.0, 2.0), (3.0, 3.0)])
def test_a_reconnection_time_over_the_limit_is_cut_but_not_below_the_backoff(limit, least):
    policy = msgspec.structs.replace(POLICY, max_retry_after=limit)
    delays = delays_after(states.Lost(1, reconnection_time=3.0), clients=100, policy=policy)
    assert np.all(delays >= least)
    assert np.all(delays <= max(1.5 * limit, 1.0))  # 1.0: what the backoff says


@pytest.mark.parametrize("backoff", [FullJitter(base=0.5, cap=30.0), Constant(seconds=1.0)])
@pytest.mark.parametrize(
    "event", [states.Failed(1, retry_after=10.0), states.Lost(1, reconnection_time=10.0)]
)
def test_a_herd_that_was_told_the_same_moment_spreads_out(event, backoff):
    policy = msgspec.structs.replace(POLICY, backoff=backoff)
    delays = delays_after(event, clients=1_000, policy=policy)
    assert np.ptp(delays) > 4.5
    assert np.histogram(delays, bins=20)[0].max() < 100  # no spike in any quarter of a second
