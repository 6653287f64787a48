from __future__ import annotations

import pytest

from rtlab.policies.snapshot_then_delta import SnapshotThenDelta


def test_a_state_that_was_read_before_a_newer_position_is_refused() -> None:
    reader = SnapshotThenDelta[str]()
    first = reader.begin("e1", 4)
    second = reader.begin("e2", 0)
    assert reader.show(first) is None
    assert reader.show(second) == []


def test_a_state_that_is_behind_the_position_is_refused_and_one_ahead_drops_what_it_holds() -> None:
    reader = SnapshotThenDelta[int]()
    reading = reader.begin("e", 4)
    for n in (5, 6, 7):
        assert reader.take("e", n, n) == []
    assert reader.show(reading, offset=3) is None
    assert reader.reading == reading  # the same position: the state must come from a newer copy
    assert reader.show(reading, offset=6) == [7]
    assert reader.take("e", 6, 6) == []
    assert reader.take("e", 8, 8) == [8]


def test_changes_that_came_before_the_position_was_known_are_not_lost() -> None:
    reader = SnapshotThenDelta[int]()
    for n in (4, 5, 6):
        reader.take("e", n, n)
    assert reader.show(reader.begin("e", 4)) == [5, 6]


@pytest.mark.parametrize("at", [("e", 6), ("other", 5), ("other", 1)])
def test_no_live_state_over_a_gap(at: tuple[str, int]) -> None:
    for live_first in (True, False):
        reader = SnapshotThenDelta[int]()
        reading = reader.begin("e", 4)
        if live_first:
            reader.show(reading)
        assert reader.take(*at, 0) == []
        if not live_first:
            assert reader.show(reading) is None
        assert not reader.live
        assert reader.position == at
        assert reader.show(reader.reading) == []


def test_more_changes_than_may_wait_are_a_gap() -> None:
    reader = SnapshotThenDelta[int](max_held=2)
    reading = reader.begin("e", 0)
    for n in (1, 2, 3):
        reader.take("e", n, n)
    assert reader.show(reading) is None
    assert reader.show(reader.reading) == []
    assert reader.take("e", 4, 4) == [4]
    with pytest.raises(ValueError, match="max_held"):
        SnapshotThenDelta(0)
