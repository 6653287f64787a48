from __future__ import annotations

import numpy as np
import pytest

from rtlab.experiments.reconnect.delays_that_become_equal import delay_spread, share_at_cap, synchrony
from rtlab.policies.backoff import PRESETS, Constant, Decorrelated, FullJitter


def test_the_jitter_of_socketio_vanishes_and_full_jitter_stays() -> None:
    shares = share_at_cap(PRESETS["socketio"], 5.0, 12)
    np.testing.assert_allclose(shares[:4], [0, 0, 0.3, 0.9], atol=0.01)
    assert np.all(shares[4:] == 1)
    assert np.all(share_at_cap(FullJitter(1.0, 5.0), 5.0, 12) == 0)


@pytest.mark.parametrize(("base", "cap", "atom"), [(1.0, 30.0, 0.38), (0.005, 2.0, 0.27)])
def test_decorrelated_jitter_has_an_atom(base: float, cap: float, atom: float) -> None:
    assert share_at_cap(Decorrelated(base, cap), cap, 60)[-1] == pytest.approx(atom, abs=0.01)


def test_a_herd_without_jitter_stays_in_lockstep() -> None:
    assert synchrony(Constant(3.0), 10) == 1
    assert synchrony(PRESETS["phoenix"], 10) == 1
    assert synchrony(PRESETS["full_jitter"], 10) < 0.02
    # Its early jitter is all that socket.io ever gets: later attempts spread no further.
    early, late = synchrony(PRESETS["socketio"], 4), synchrony(PRESETS["socketio"], 40)
    assert early == pytest.approx(late, rel=0.05)


def test_clients_that_have_given_up_make_no_attempt() -> None:
    policy = FullJitter(1.0, 5.0, max_attempts=3)
    assert synchrony(policy, 3) == pytest.approx(synchrony(FullJitter(1.0, 5.0), 3))
    assert synchrony(policy, 4) == synchrony(policy, 5) == 0
    spread = delay_spread(policy, 5)
    assert spread[:3] == pytest.approx(1.6, abs=0.02)
    assert np.isnan(spread[3:]).all()
    assert share_at_cap(policy, 5.0, 5).tolist() == [0] * 5


def test_what_is_left_to_chance():
    assert delay_spread(FullJitter(1, 5), 6)[-1] == pytest.approx(1.6, abs=0.02)
    assert delay_spread(PRESETS["socketio"], 6)[4:].max() == 0
    assert delay_spread(PRESETS["signalr"], 4).tolist() == [0] * 4  # its first delay is 0 s
    assert delay_spread(PRESETS["python_socketio"], 8)[-1] == pytest.approx(0.8 / 5, abs=0.005)
    websockets = delay_spread(PRESETS["websockets"], 5)
    assert websockets[0] == pytest.approx(1.6, abs=0.02)
    assert websockets[1:].max() == 0
