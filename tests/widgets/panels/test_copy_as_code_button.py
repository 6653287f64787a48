"""Calls as source text: on one line, or one argument a line; and every panel's page has the button."""

from __future__ import annotations

import ast

from rtlab.widgets.panels.batching_panel import BatchingPanel
from rtlab.widgets.panels.connection_inspector import ConnectionInspector
from rtlab.widgets.panels.copy_as_code_button import CopyAsCode, call_as_code
from rtlab.widgets.panels.wire_timeline import WireTimeline


def test_a_call_is_python_that_says_the_same_long_or_short() -> None:
    assert call_as_code("replay.plot", window=2.5, title="it's") == 'replay.plot(window=2.5, title="it\'s")'
    assert call_as_code("lab.faults.restore") == "lab.faults.restore()"
    long = call_as_code("WebSocketConnection", "lab.ws_url", **{f"option_{n}": n for n in range(12)})
    assert max(map(len, long.splitlines())) <= 88
    (call,) = (node for node in ast.walk(ast.parse(long)) if isinstance(node, ast.Call))
    assert {key.arg: ast.literal_eval(key.value) for key in call.keywords}["option_11"] == 11


def below(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *below(child))]


def test_every_panel_that_has_code_has_the_button_in_its_page() -> None:
    kinds = [kind for kind in below(CopyAsCode) if "_esm" in vars(kind)]
    assert {BatchingPanel, ConnectionInspector, WireTimeline} <= set(kinds)
    for kind in kinds:
        page = str(getattr(vars(kind)["_esm"], "default_value", vars(kind)["_esm"]))  # a trait, once used
        assert page.count("function copyAsCode(") == 1, kind
        assert page.count("copyAsCode(model") > 1, kind
