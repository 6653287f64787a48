from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

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


@pytest.mark.parametrize(
    ("ours", "limits", "holds"),
    [
        ([1.0] * 9, {"at_most": 1.03}, True),
        ([1.04] * 9, {"at_most": 1.03}, False),
        ([1.04, 1.01] * 5, {"at_most": 1.03}, True),
        ([0.9, 1.1] * 5, {"at_most": 1.03}, False),
        ([0.98] * 9, {"at_least": 0.97}, True),
        ([0.96] * 9, {"at_least": 0.97}, False),
        ([1.5, 0.5] * 5, {"at_most": 2.0}, True),
        # A bound at 10 % is a wide one on either side of 1, although 1 - 0.9 < 0.1 in floats.
        ([1.2, 0.9] * 5, {"at_least": 0.9}, True),
        ([1.2, 0.9] * 5, {"at_most": 1.1}, True),
        ([0.85] * 9, {"at_least": 0.9}, False),
    ],
)
def test_a_narrow_limit_is_judged_by_the_interval_and_a_wide_one_decides_nothing(ours, limits, holds):
    row = Result.paired("b", "m", ours, "µs", "peer", [1.0] * len(ours))
    assert msgspec.structs.replace(row, **limits).holds is holds


def test_a_number_of_an_idle_process_does_not_count():
    row = Result.of("b", "m", [2.0], "µs", "peer", [1.0])
    must = msgspec.structs.replace(row, at_most=1.5, busy=0.95)
    assert (row.holds, must.holds) == (None, False)
    assert msgspec.structs.replace(must, at_most=2.0).holds is True
    assert msgspec.structs.replace(must, at_most=None, at_least=3.0).holds is False
    idle = msgspec.structs.replace(must, busy=0.89)
    assert (idle.counts, idle.holds) == (False, None)
    shown = table([must, idle])
    assert list(shown.columns[-1].cells) == ["≤ 1.5 ✗", "≤ 1.5"]
    assert list(shown.columns[0].cells) == ["m\nbusy 95%", "m\nbusy 89%: does not count"]


def test_a_terminal_of_80_columns_shows_every_column():
    row = Result.paired(
        "b", "sent, handled by the server, B = 100", [123456.0] * 9, "msg/s", "bare peer", [1e4] * 9
    )
    written = Console(width=80, record=True, file=io.StringIO())
    written.print(table([msgspec.structs.replace(row, at_least=20.0, busy=0.97)]))
    text = written.export_text()
    assert all(
        words in text for words in ("123,456", "bare peer", "12.3", "[12.3, 12.3]", "≥ 20 ✗", "busy 97%")
    )
