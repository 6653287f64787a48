from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import json_packer

from rtlab.errors import RtlabError
from rtlab.widgets.verdicts.predict import Predict, compare_prediction


@given(st.text(max_size=20))
def test_no_text_breaks_the_widget(text: str) -> None:
    guess = Predict("How long?", unit="ms")
    guess._handle_custom_msg({"commit": text}, [])
    assert (guess.value is None) == (guess.tone != "good")


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_the_factor_is_the_same_in_both_directions(a: float, b: float) -> None:
    high, low = compare_prediction(max(a, b), min(a, b)), compare_prediction(min(a, b), max(a, b))
    if "times" in high:
        assert high.rsplit(": ", 1)[1] == low.rsplit(": ", 1)[1].replace("low", "high")


@pytest.mark.parametrize(
    ("predicted", "measured", "end"),
    [
        (5, 0.5, "‹10 times too high›."),
        (0.1, 0.4, "‹4 times too low›."),
        (5, 4, "‹1.25 times too high›."),
        (1e6, 400, "You predicted ‹1,000,000 ms›, measured was ‹400 ms›: ‹2,500 times too high›."),
        (1.0, 1.05, "‹within 10 %›."),
        (2, 2, "‹exact›."),
        (0, 3, "‹off by 3 ms›."),
        (None, 3, "you made no prediction."),
        (1, math.nan, "nothing to compare."),
    ],
)
def test_the_verdict_says_how_far_off(predicted: float | None, measured: float, end: str) -> None:
    assert compare_prediction(predicted, measured, "ms").endswith(end)


def test_a_prediction_is_noted_and_then_revealed() -> None:
    guess = Predict("How long?", unit="ms")
    assert guess.verdict == ""
    guess._handle_custom_msg({"commit": "5"}, [])
    assert (guess.value, guess.tone) == (5.0, "good")
    shown = guess.reveal(0.5)
    assert guess.answer == "You predicted 5 ms, measured was 0.5 ms: 10 times too high."
    assert repr(shown) == guess.verdict == "You predicted ‹5 ms›, measured was ‹0.5 ms›: ‹10 times too high›."
    assert '<span class="rtlab-number">0.5 ms</span>' in shown._repr_html_()
    guess._handle_custom_msg({"commit": "0.5"}, [])
    assert guess.value == 5.0  # too late
    guess.reset()
    assert (guess.value, guess.verdict, guess.locked) == (None, "", False)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("model", "the model says ‹"),
        ("simulated", "simulated was ‹"),
        ("computed", "computed was ‹"),
    ],
)
def test_what_was_not_measured_is_not_called_so(kind: Any, said: str) -> None:
    guess = Predict("How long?", unit="µs")
    guess.commit("1,5 ms")
    assert guess.answer == "Noted: 1,500 µs. Now run the next cells."
    assert said in repr(guess.reveal(2.0, kind=kind))
    guess.reset()
    assert repr(guess.reveal(2.0, kind)).startswith(said[0].upper())
    with pytest.raises(RtlabError, match="measured, model, simulated, computed"):
        guess.reveal(2.0, kind="guessed")  # type: ignore[arg-type]


def test_a_correction_replaces_the_number_and_an_error_removes_it() -> None:
    guess = Predict("How long?")
    for text, value in (("5", 5.0), ("7", 7.0), ("x", None), ("8", 8.0), ("", None)):
        guess.commit(text)
        assert guess.value == value
    assert guess.answer == ""


@pytest.mark.parametrize("message", [{}, {"commit": 5}, "text", None])
def test_nonsense_from_the_browser_is_ignored(message: object) -> None:
    guess = Predict("How long?")
    guess._handle_custom_msg(message, [])
    assert guess.value is None


def test_each_commit_is_answered_even_one_that_changes_nothing() -> None:
    guess = Predict("How long?", unit="ms")
    answers: list[object] = []
    guess.send = lambda content, *_: answers.append(content)  # type: ignore[method-assign]
    for text in ("7" * 150, "7" * 100):  # cut, and so the same
        guess._handle_custom_msg({"commit": text}, [])
    assert guess.typed == "7" * 100
    guess.reveal(7.0)
    guess._handle_custom_msg({"commit": "8"}, [])  # too late
    assert answers == [{"kind": "answer"}] * 3


def test_a_lone_surrogate_from_the_browser_can_be_sent_back() -> None:
    guess = Predict("How long?")
    guess._handle_custom_msg({"commit": "soon\ud800"}, [])
    assert guess.tone == "bad"
    assert json_packer({"typed": guess.typed, "answer": guess.answer})


def test_it_says_nothing_without_a_browser(capsys: pytest.CaptureFixture[str]) -> None:
    guess = Predict("How long?", unit="ms")
    assert repr(guess.reveal(3.0)) == "Measured was ‹3 ms›; you made no prediction."
    bundle = guess._repr_mimebundle_()
    assert bundle is not None
    assert bundle[0]["text/plain"] == "Predict('How long?', unit='ms')"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("typed", ["1e300", "-1e300"])
def test_a_number_of_many_digits_is_shown_with_an_exponent(typed: str) -> None:
    guess = Predict("How long?", unit="ms", minimum=-math.inf)
    guess.commit(typed)
    assert "1e+300 ms" in guess.answer
    assert len(guess.answer) < 80
    assert len(guess.reveal(1.0).__repr__()) < 120
