"""The decisions of a fallback, without any I/O."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.patterns.transport_choice_strategy import BEST_FIRST, SUREST_FIRST, ConnectOrder, Strategy

NAMES = ("websocket", "sse", "longpoll")


@pytest.mark.parametrize(
    ("strategy", "blocked", "now", "later"),
    [
        (BEST_FIRST, (), NAMES, ()),
        (BEST_FIRST, ("websocket",), ("sse", "longpoll"), ("websocket",)),
        (SUREST_FIRST, (), NAMES[::-1], ()),
        (SUREST_FIRST, ("sse",), ("longpoll", "websocket"), ("sse",)),
        (BEST_FIRST, NAMES, NAMES, ()),  # of all it says nothing
    ],
)
def test_what_is_tried_when_connecting(strategy, blocked, now, later):
    assert strategy.opening(NAMES, blocked) == ConnectOrder(now, later)


def test_only_what_is_better_is_probed_best_first():
    assert [BEST_FIRST.better(NAMES, than=name) for name in NAMES] == [(), NAMES[:1], NAMES[:2]]


def test_opening_with_the_surest_probes_at_once_then_every_so_often():
    rng = np.random.default_rng(7)
    assert SUREST_FIRST.wait(0, rng) == 0.0
    assert SUREST_FIRST.wait(1, rng) > 0
    assert BEST_FIRST.wait(0, rng) > 0


def test_waits_lie_around_their_mean_within_the_jitter():
    rng = np.random.default_rng(7)
    waits = [Strategy(reprobe_interval=10.0, jitter=0.2).wait(1, rng) for _ in range(2000)]
    assert min(waits) >= 8.0
    assert max(waits) <= 12.0
    assert np.mean(waits) == pytest.approx(10.0, abs=0.1)
    assert np.std(waits) > 1.0
    assert Strategy(reprobe_interval=10.0, jitter=0).wait(1, rng) == 10.0


def test_who_does_not_want_to_climb_probes_never_or_once():
    rng = np.random.default_rng(7)
    assert Strategy(reprobe_interval=None).wait(0, rng) is None
    engine_io = Strategy(opens_with="surest", reprobe_interval=None)
    assert [engine_io.wait(n, rng) for n in (0, 1)] == [0.0, None]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"opens_with": "worst"}, '"best" or "surest"'),
        ({"reprobe_interval": 0}, "reprobe_interval > 0"),
        ({"reprobe_interval": float("nan")}, "reprobe_interval > 0"),
        ({"jitter": 1.5}, "from 0 to 1"),
    ],
)
def test_nonsense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Strategy(**options)
