from __future__ import annotations

from tests.refusals import Refusals

BUSY = ("MachineBusy", "expected quiet: run the cell again")


def missing(name: str) -> tuple[str, str]:
    return "NameError", f"name '{name}' is not defined"


def test_only_the_names_that_a_refused_cell_would_have_made_are_excused():
    refusals = Refusals()
    assert not refusals.excuse("waits", *missing("waits"))
    assert refusals.excuse("measured = await measure()\nwaits = measured.waits", *BUSY)
    assert refusals.excuse("mean = waits.mean()", *missing("waits"))
    assert refusals.excuse("print(mean)", *missing("mean"))  # of a cell that failed for want of it
    assert not refusals.excuse("print(lab)", *missing("lab"))
    assert not refusals.excuse("print(mean)", "KeyError", "'mean'")


def test_a_cell_that_runs_after_all_makes_its_names():
    refusals = Refusals()
    assert refusals.excuse("waits = await measure()", *BUSY)
    assert not refusals.excuse("waits = await measure()", "", "")
    assert not refusals.excuse("print(waits)", *missing("waits"))
