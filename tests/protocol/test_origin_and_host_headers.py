"""Which origins and hosts are let in."""

from __future__ import annotations

import pytest

from rtlab.protocol.origin_and_host_headers import as_browsers_write, host_allowed, origin_allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://127.0.0.1", "127.0.0.1:80", True),
        ("https://127.0.0.1", "127.0.0.1", False),  # the server speaks http
        ("https://127.0.0.1:8000", "127.0.0.1:8000", False),
        ("http://ada@127.0.0.1:8000", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000/", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000/page", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000?x", "127.0.0.1:8000", False),
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


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://127.0.0.1", "127.0.0.1", True),
        ("https://127.0.0.1", "127.0.0.1:443", True),
        ("https://127.0.0.1", "127.0.0.1:80", False),
        ("http://127.0.0.1:443", "127.0.0.1:443", False),
    ],
)
def test_a_page_of_the_other_scheme_is_another_origin(origin: str, host: str, allowed: bool) -> None:
    assert origin_allowed(origin, host, frozenset(), "https") is allowed


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("[::1]:8000", True),
        ("lab.example:8000", True),  # the host of an allowed origin
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str, allowed: bool) -> None:
    assert host_allowed(host, frozenset({"https://lab.example"})) is allowed


@pytest.mark.parametrize(
    ("configured", "sent"),
    [
        ("https://chat.example", "https://chat.example"),
        ("HTTPS://Chat.Example", "https://chat.example"),
        ("https://chat.example:443", "https://chat.example"),
        ("http://chat.example:80/", "http://chat.example"),
        ("https://chat.example:80", "https://chat.example:80"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("https://café.example", "https://xn--caf-dma.example"),
        ("vscode-webview://1a2b", "vscode-webview://1a2b"),
    ],
)
def test_a_configured_origin_is_what_browsers_send(configured: str, sent: str) -> None:
    assert as_browsers_write(configured) == sent


@pytest.mark.parametrize(
    "wrong",
    [
        "null",
        "*",
        "chat.example",
        "https://*.example",
        "https://a/b",
        "https://u@a",
        "https://a?",
        "http://a:x",
        "",
    ],
)
def test_what_is_the_origin_of_no_single_site_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected an origin"):
        as_browsers_write(wrong)
