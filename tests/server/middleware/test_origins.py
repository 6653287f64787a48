from __future__ import annotations

import pytest

from rtlab.server.middleware.origins import origin_allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://127.0.0.1", "127.0.0.1:80", True),
        ("https://127.0.0.1", "127.0.0.1", True),
        ("https://127.0.0.1", "127.0.0.1:80", False),
        ("https://127.0.0.1", "127.0.0.1:443", True),
        ("https://lab.example", "127.0.0.1:8000", True),  # configured
        ("https://lab.example:444", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8001", "127.0.0.1:8000", False),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("http://evil.example:8000", "evil.example:8000", False),  # DNS rebinding
        ("http://127.0.0.1.evil.example:8000", "127.0.0.1:8000", False),
        ("null", "127.0.0.1:8000", False),
        ("", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000", "", False),
        ("http://127.0.0.1:x", "127.0.0.1:x", False),
        ("http://[::1", "[::1", False),
        ("file://127.0.0.1:8000", "127.0.0.1:8000", False),
    ],
)
def test_only_own_pages_and_configured_origins_are_let_in(origin: str, host: str, allowed: bool) -> None:
    assert origin_allowed(origin, host, frozenset({"https://lab.example"})) is allowed
