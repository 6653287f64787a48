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


def test_a_guard_is_excused_where_it_looks_at_what_a_refused_cell_would_have_made():
    guard = ("RtlabError", "the sweep ended before its end: run its cell again")
    source = 'if points is None:\n    raise RtlabError("...")\nn = len(points)'
    refusals = Refusals()
    assert not refusals.excuse(source, *guard)
    assert refusals.excuse("points = None\npoints = await sweep()", *BUSY)
    assert not refusals.excuse("print(lab)", *guard)  # looks at something else
    assert not refusals.excuse(source, "RtlabError", "expected 8 points, got 7")
    assert refusals.excuse(source, *guard)
    assert refusals.excuse("print(n)", *missing("n"))
    assert not refusals.excuse("points = await sweep()", "", "")
    assert not refusals.excuse(source, *guard)
