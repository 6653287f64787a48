from __future__ import annotations

import pytest

from rtlab.widgets.verdicts.plain_table import PlainTable
from rtlab.widgets.verdicts.verdict_row import marked

TABLE = PlainTable(["", "a < b"], [["bytes", marked("648")]], "direct")


def test_it_reads_as_text_and_no_number_moves_a_word():
    assert repr(TABLE) == "direct\n | a < b\nbytes | ‹648›"


def test_it_is_left_aligned_with_numbers_that_the_sanitizer_knows():
    shown = TABLE.html
    assert "text-align: left !important" in shown
    assert '<td><span class="rtlab-number">648</span></td>' in shown
    assert '<th scope="col">a &lt; b</th>' in shown
    assert "<caption>direct</caption>" in shown


def test_a_row_has_a_cell_for_each_head():
    with pytest.raises(ValueError, match="expected 2 cells"):
        PlainTable(["", "a"], [["only one"]])
