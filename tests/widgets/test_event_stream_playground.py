"""The playground, driven as a reader does: by the values of its fields."""

from __future__ import annotations

from typing import Any

import pytest

from rtlab.widgets.event_stream_playground import MAX_BYTES, StreamPlayground

CODE = '<code style="white-space:pre-wrap">'
EXAMPLES = {"two lines": r"data: a\ndata: b\n\n", "a cut": r"id: 7\ndata: x\n|\n"}


def fields(box: Any) -> tuple[Any, Any, Any]:
    return box._text, box._guess, box._asks


def answer(box: Any) -> str:
    return box._answer.value


def test_the_answer_waits_for_a_guess():
    box = StreamPlayground(EXAMPLES)
    _, guess, asks = fields(box)
    assert "Guess." in answer(box)
    assert "a\\nb" not in answer(box)
    guess.value = "2"
    assert "You said 2; it delivers <b>1 event</b>: ✗" in answer(box)
    assert "&#x27;a\\nb&#x27;" in answer(box)  # as repr: the LF can be seen
    guess.value = "1"
    assert "✓ right" in answer(box)
    guess.value, asks.value = "", False
    assert "It delivers <b>1 event</b>" in answer(box)


def test_other_bytes_ask_again_and_the_old_answer_goes():
    box: Any = StreamPlayground(EXAMPLES)
    text, guess, _ = fields(box)
    guess.value = "1"
    box._example.value = EXAMPLES["a cut"]
    assert text.value == EXAMPLES["a cut"]
    assert guess.value == ""
    assert "Guess." in answer(box)
    guess.value = "1"
    first, second = answer(box).split("<tr>")[2:4]
    assert "none" in first
    assert f"type {CODE}&#x27;message&#x27;" in second
    assert f"wait as long as the client likes, and send the id {CODE}&#x27;7&#x27;" in answer(box)


@pytest.mark.parametrize("said", ["two", "-1", "1.5", "9" * 500, "<b>"])
def test_a_guess_that_is_no_number_is_refused_in_words(said: str):
    box = StreamPlayground(EXAMPLES)
    _, guess, _ = fields(box)
    guess.value = said
    assert "Expected a whole number" in answer(box)
    assert "<b>'" not in answer(box)
    assert guess.value == said


@pytest.mark.parametrize(
    ("typed", "words"), [(r"\q", "is no escape here"), ("x" * (MAX_BYTES + 1), "at most 2,000 bytes")]
)
def test_bytes_that_cannot_be_read_are_refused_and_stay(typed: str, words: str):
    box = StreamPlayground(EXAMPLES)
    text, guess, _ = fields(box)
    guess.value = "1"
    text.value = typed
    assert words in answer(box)
    assert text.value == typed


def test_what_the_streams_end_drops_is_said():
    box = StreamPlayground(EXAMPLES, guess_first=False)
    text, _, _ = fields(box)
    text.value = "data: <x>"
    assert "&lt;x&gt;" in answer(box)
    assert "is dropped: its blank line never came" in answer(box)
    text.value = r"retry: 1500\r"
    assert "would wait 1,500 ms, and send no id." in answer(box)
    assert "dropped" not in answer(box)
    text.value = ""
    assert "No bytes, no events." in answer(box)


def test_it_is_a_widget_with_a_repr_of_its_own():
    box: Any = StreamPlayground(EXAMPLES)
    assert repr(box) == "<StreamPlayground: 2 examples>"
    assert "application/vnd.jupyter.widget-view+json" in str(box._repr_mimebundle_())
