from __future__ import annotations

from rtlab.bench.results import Result, spread, table


def test_medians_are_compared():
    row = Result.of("b", "m", [3.0, 1.0, 2.0], "s", "peer", [4.0, 4.0, 9.0])
    assert (row.value, row.peer_value, row.ratio, row.spread) == (2.0, 4.0, 0.5, 0.5)
    alone = Result.of("b", "m", [5.0], "s")
    assert (alone.peer_value, alone.ratio, alone.spread) == (None, None, None)


def test_spread_has_no_value_where_it_has_no_meaning():
    assert spread([0.0, 0.0, 0.0]) is None
    assert spread([-10.0, -10.0]) == 0.0


def test_the_table_has_a_row_for_each_result():
    rows = [Result.of("b", "m", [1.0, 1.0], "s"), Result.of("b", "n", [1234.5], "msg/s", "limit", [1000.0])]
    assert table(rows).row_count == 2
