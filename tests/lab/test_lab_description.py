"""What a lab shows of itself."""

from __future__ import annotations

import pytest

from rtlab.lab.lab_description import as_html, as_text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"nodes": 1, "faults": False, "state": "running"}, "1 server, running"),
        ({"nodes": 3, "faults": True, "state": "stopped"}, "3 servers and fault proxy, stopped"),
        ({"nodes": 1, "faults": False, "state": "running", "dead": ["server"]}, "1 server, server died"),
        ({"nodes": 1, "faults": False, "state": "stopped", "dead": ["server"]}, "1 server, stopped"),
    ],
)
def test_the_words(options, text):
    assert as_text(**options) == text


def test_html_is_escaped_and_says_the_next_step():
    assert "&lt;b&gt;" in as_html("<b>", running=True)
    assert "lab.url" in as_html("", running=True)
    assert "Lab.start()" in as_html("", running=False)
