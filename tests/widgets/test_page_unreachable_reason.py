"""The sentence that says why a page does not reach the lab."""

from __future__ import annotations

from typing import Any

import pytest

from rtlab.widgets.page_unreachable_reason import why_out_of_reach

HERE = {"origin": "http://localhost:8888", "host": "localhost", "error": "TypeError: Failed to fetch"}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"origin": "null", "host": ""}, "sandboxed"),
        ({"policy": True}, "content security policy"),
        ({"permission": "denied"}, "rule for local networks"),
        ({"host": "hub.example", "secure": True}, "hub.example, so JupyterLab runs elsewhere"),
        ({"host": "hub.example", "permission": "prompt"}, "asked for your permission"),
        ({"host": ""}, "came from no host at all"),
        ({"secure": True}, "came over https"),
        ({}, "TypeError: Failed to fetch"),
    ],
)
def test_the_likeliest_reason_is_named(facts: dict[str, Any], words: str) -> None:
    assert words in why_out_of_reach({**HERE, **facts})
