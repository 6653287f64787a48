"""The sequence diagram: every message, on its row, in its direction."""

from __future__ import annotations

import pytest

from rtlab.figures.sequence_diagram import Arrow, sequence_figure


def test_every_message_is_drawn_from_its_lane_to_its_lane() -> None:
    arrows = [Arrow("client", "server", "offer", 0.0), Arrow("server", "client", "answer", 0.012, "green")]
    axes = sequence_figure(["client", "server"], arrows, title="hello").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if text] == ["client", "server", "0 ms", "offer", "12 ms", "answer"]
    ends = [(a.xyann, a.xy) for a in axes.texts if hasattr(a, "xyann")]
    assert ends == [((0.0, 0), (1.0, 0)), ((1.0, 1), (0.0, 1))]


def test_a_note_has_no_arrow() -> None:
    axes = sequence_figure(["a", "b"], [Arrow("a", "a", "thinks")]).axes[0]
    assert not [a for a in axes.texts if hasattr(a, "xyann")]


def test_an_arrow_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="out of a, b, got c"):
        sequence_figure(["a", "b"], [Arrow("a", "c", "?")])
