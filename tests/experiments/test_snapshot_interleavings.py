"""Two hundred interleavings, searched by hypothesis: no gap, and the naive order has one."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from rtlab.experiments.snapshot_interleavings import (
    Interleaving,
    PositionFirst,
    Reader,
    StateFirst,
    gaps_of,
    run_interleavings,
)

SEARCH = settings(max_examples=200, stateful_step_count=20, database=None, derandomize=True)


class Machine(RuleBasedStateMachine):
    """Draws the steps; at the end everything is delivered, and the reader has to show the truth."""

    make_reader: type[Reader]
    faults = True

    def __init__(self) -> None:
        super().__init__()
        self.world = Interleaving(self.make_reader())

    @rule()
    def commit(self) -> None:
        self.world.commit()

    @rule()
    def publish(self) -> None:
        self.world.publish()

    @rule()
    def advance(self) -> None:
        self.world.advance()

    @rule()
    def receive(self) -> None:
        self.world.receive()

    @rule()
    def fault(self) -> None:
        if self.faults:
            self.world.cut()

    @rule()
    def reconnect(self) -> None:
        self.world.reconnect()

    @rule()
    def restart(self) -> None:
        if self.faults:
            self.world.restart()

    def teardown(self) -> None:
        assert self.world.settle() == []


class Careful(Machine):
    make_reader = PositionFirst


class Naive(Machine):
    """No fault is needed: a change between the read and the subscription is enough."""

    make_reader = StateFirst
    faults = False


def test_position_state_deltas_leaves_no_gap() -> None:
    run_state_machine_as_test(Careful, settings=SEARCH)


def test_state_first_leaves_one() -> None:
    # Shrinking the example takes longer than finding it. What is drawn depends on which modules are imported,
    # even when derandomized: of 60 seeds three needed more than 200 examples, one 483.
    found = settings(SEARCH, max_examples=3000, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Naive, settings=found)


def test_random_interleavings_can_be_replayed_from_their_seed() -> None:
    assert run_interleavings(PositionFirst, 100).with_gaps == 0
    naive = run_interleavings(StateFirst, 100, faults=False)
    assert naive.with_gaps > 0
    assert naive.first is not None
    assert gaps_of(StateFirst, naive.first, faults=False)
