from __future__ import annotations

import html

import pytest

from rtlab.capture.xss_detection import SAMPLE_TEXTS, active_markup


def test_all_but_the_script_element_run_when_they_are_written_as_markup() -> None:
    assert [len(active_markup(text)) for text in SAMPLE_TEXTS] == [0, 1, 1, 1, 1]
    assert [active_markup(html.escape(text)) for text in SAMPLE_TEXTS] == [[]] * 5


@pytest.mark.parametrize("text", ["", "<", "a < b", "<3", "<b onclick", "&lt;b onclick=x&gt;", "\0<x"])
def test_any_text_is_taken(text: str) -> None:
    assert active_markup(text) == []


def test_the_spelling_does_not_matter() -> None:
    assert active_markup("<IMG/SRC=x OnError=hit(1)//") == []  # no end: no element
    assert active_markup("<IMG/SRC=x OnError=hit(1)>") == ["img.onerror"]
