"""The sliders: what they take, the curve under them, and code that says the same."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from rtlab.faults.toxics.latency_and_bandwidth import EARLY
from rtlab.models.batching import batch_delay
from rtlab.widgets.panels import batching_panel
from rtlab.widgets.panels.batching_panel import CHOICES, BatchingPanel, code_of

START = {"rate": 200, "size": 10, "wait": 50, "rtt": 0}


def test_a_slider_moves_the_model_and_the_code_and_forgets_what_was_measured() -> None:
    told: list[Any] = []
    panel = BatchingPanel(START, told.append)
    panel.show({"delay_ms": 21.0, "server_us": float("nan")})
    assert panel.found == {"delay_ms": 21.0}
    assert panel.model["delay_ms"] == pytest.approx(21.03, abs=0.01)
    panel._handle_custom_msg({"set": {"size": 100}}, [])
    assert panel.found == {}
    assert panel.model["delay_ms"] == pytest.approx(1000 * batch_delay(200, 0.05, 100))
    assert panel.model["frames_per_s"] * panel.model["per_frame"] == pytest.approx(200)
    assert len(panel.model["curve"]) == 61
    assert "batch_size=100, flush_interval=0.05" in panel.code
    assert told[-1] == {**START, "size": 100}


@pytest.mark.parametrize(
    "nonsense",
    [
        {"set": {"rate": 7}},
        {"set": {"wait": True}},
        {"set": {"speed": 1}},
        {"set": {"rtt": [1]}},
        {"set": 3},
        {},
    ],
)
def test_nonsense_from_the_page_changes_nothing(nonsense: Any) -> None:
    panel = BatchingPanel(START)
    panel._handle_custom_msg(nonsense, [])
    assert panel.settings == START
    if isinstance(nonsense.get("set"), dict):
        assert "expected one of" in panel.status


def test_code_is_python_for_every_end_of_the_sliders() -> None:
    for end in (0, -1):
        settings = {name: values[end] for name, values in CHOICES.items()}
        compile(code_of(settings), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_the_code_of_a_setting_measures_that_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching_panel, "_SECONDS", 0)  # 50 messages
    code = code_of({"rate": 500, "size": 10, "wait": 500, "rtt": 20})
    names: dict[str, Any] = {}
    await eval(compile(code, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    assert names["batcher"].stats.messages_per_batch == 10
    assert names["run"].latency.min() > 0.020 - 2 * EARLY  # each way may be that much early
