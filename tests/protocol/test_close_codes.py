"""What each close code means."""

from __future__ import annotations

import pytest

from rtlab.protocol.close_codes import CLOSE_CODES, CloseCodeLabels, close_code, should_reconnect

YES = [1001, 1005, 1006, 1011, 1012, 1013, 1014, 4000, 4401, 4499]
NO = [0, 999, 1000, 1002, 1003, 1004, 1007, 1008, 1009, 1010, 1015, 2000, 3000, 4500, 4999, 5000]


@pytest.mark.parametrize(("code", "again"), [*((c, True) for c in YES), *((c, False) for c in NO)])
def test_whether_to_come_back(code, again):
    assert should_reconnect(code) is again


@pytest.mark.parametrize("code", [1005, 1006, 1015])
def test_codes_that_never_travel(code):
    assert not close_code(code).on_wire


def test_the_table_is_keyed_by_code_and_explains_each():
    for code, entry in CLOSE_CODES.items():
        assert entry.code == code
        assert entry.name
        assert entry.meaning.endswith(".")


def test_clients_that_invent_close_codes_make_few_names() -> None:
    labels = CloseCodeLabels()
    names = [labels.of(code) for code in range(3000, 5000)]
    assert len(set(names)) == 33
    assert names[0] == labels.of(3000) == "3000"
    assert names[-1] == "other"
    assert [labels.of(code) for code in CLOSE_CODES] == [str(code) for code in CLOSE_CODES]
