from __future__ import annotations

from rtlab.widgets.progress import Progress


def test_it_shows_what_it_is_told_without_a_view_in_its_text():
    bar = Progress("starting")
    assert repr(bar) == "<Progress: 0 %, starting>"
    bar(0.25, "turn 1 of 4")
    assert repr(bar) == "<Progress: 25 %, turn 1 of 4>"
    bundle = bar._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data
